"""Django settings, composed from `env` alone. Apps stand in the order of the stack."""

from octavo.settings import env
from octavo.settings.databases import databases
from octavo.settings.logging import logging_config

BASE_DIR = env.ROOT
DATA_DIR = env.data_dir

HOST = env.text("OCTAVO_HOST", "127.0.0.1")
PORT = env.integer("OCTAVO_PORT", 8000, least=1, most=65535)
PUBLIC_URL = env.text("OCTAVO_PUBLIC_URL", f"http://{HOST}:{PORT}")

DEBUG = env.boolean("OCTAVO_DEBUG")
SECRET_KEY = env.text("OCTAVO_SECRET_KEY")
ENCRYPTION_KEYS = env.listed("OCTAVO_ENCRYPTION_KEYS")
ALLOWED_HOSTS = list(env.listed("OCTAVO_ALLOWED_HOSTS")) or [
    "localhost",
    "127.0.0.1",
    "[::1]",
    HOST,
]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL.startswith("https") else []
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.boolean("OCTAVO_BEHIND_PROXY") else None
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https")
SESSION_COOKIE_NAME = "octavo_session"

DATABASES = databases()
DATABASE_ROUTERS: list[str] = []
REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379/0")

INSTALLED_APPS = [
    "apps.api",
    "apps.console",
    "apps.orchestration",
    "apps.agents",
    "apps.context",
    "apps.tools",
    "apps.inference",
    "apps.observability",
    "apps.model_registry",
    "apps.accounts",
    "apps.governance",
    "octavo.kernel",
    "unfold.apps.BasicAppConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "apps.api.middleware.measure_requests",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "octavo.urls"
ASGI_APPLICATION = "octavo.asgi.application"
APPEND_SLASH = False
LOGIN_URL = "/login"
CSRF_FAILURE_VIEW = "apps.api.pages.csrf_failure"
SECURE_CSP = {  # scripts are files of ours; swagger-ui draws its icons from data: addresses
    "default-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}

UNFOLD = {
    "SITE_TITLE": "Octavo staff",
    "SITE_HEADER": "Octavo staff",
    "SITE_URL": "/",
    "SHOW_HISTORY": False,
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = env.integer("OCTAVO_MAX_BODY_BYTES", 10 * 2**20)
MAX_FILE_BYTES = env.integer("OCTAVO_MAX_FILE_BYTES", 50 * 2**20)
MAX_ARCHIVE_BYTES = env.integer("OCTAVO_MAX_ARCHIVE_BYTES", 500 * 2**20)
FILE_UPLOAD_MAX_MEMORY_SIZE = 2**16  # a larger upload waits on disk

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.api.rest.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.api.rest.authentication.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["apps.api.rest.codec.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.api.rest.codec.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "apps.api.rest.codec.OneMediaType",
    "DEFAULT_SCHEMA_CLASS": "apps.api.rest.schema.OctavoSchema",
    "EXCEPTION_HANDLER": "apps.api.rest.errors.problem_response",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Octavo",
    "DESCRIPTION": "Models, tools, context, agents and durable runs, governed and traced.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "DISABLE_DOCSTRING_DESCRIPTIONS": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["apps.api.rest.schema.add_event_stream"],
    "TAGS": [
        {"name": "runs", "description": "Durable runs of agents."},
        {"name": "triggers", "description": "What starts runs: schedules, hooks and events."},
        {"name": "agents", "description": "Versioned agent definitions."},
        {"name": "workflows", "description": "Versioned graphs of agents, tools and models."},
        {"name": "context", "description": "Spaces, entries, ingestion and search."},
        {"name": "tools", "description": "What agents may be granted."},
        {"name": "approvals", "description": "Calls that wait for a person."},
        {"name": "governance", "description": "Policy decisions and the audit chain."},
        {"name": "models", "description": "Providers, models and routes."},
        {"name": "keys", "description": "API keys and the identities of programs."},
        {"name": "traces", "description": "A run as spans, decisions and usage."},
    ],
}

# What the platform itself reads (see .env.example).
ADMIN_EMAIL = env.text("OCTAVO_ADMIN_EMAIL")
ADMIN_PASSWORD = env.text("OCTAVO_ADMIN_PASSWORD")
BOOTSTRAP_API_KEY = env.text("OCTAVO_BOOTSTRAP_API_KEY")
EGRESS_ALLOW = env.listed("OCTAVO_EGRESS_ALLOW")
STDIO_COMMANDS = env.listed("OCTAVO_STDIO_COMMANDS")
MODEL_SERVER_URL = env.text("OCTAVO_MODEL_SERVER_URL", "http://127.0.0.1:8001")
MODEL_URL = env.text("OCTAVO_MODEL_URL")
MODEL_NAME = env.text("OCTAVO_MODEL_NAME")
MODEL_API_KEY = env.text("OCTAVO_MODEL_API_KEY")
OPENAI_API_KEY = env.text("OPENAI_API_KEY")
ANTHROPIC_API_KEY = env.text("ANTHROPIC_API_KEY")
GEMINI_API_KEY = env.text("GEMINI_API_KEY")
VLLM_PYTHON = env.text("OCTAVO_VLLM_PYTHON")
BUILTIN_MODEL = env.text("OCTAVO_BUILTIN_MODEL")
MODEL_CALL_SECONDS = env.integer("OCTAVO_MODEL_CALL_SECONDS", 600, least=1)
WORKER_THREADS = env.integer("OCTAVO_WORKER_THREADS", 64)
MCP_WAIT_SECONDS = env.integer("OCTAVO_MCP_WAIT_SECONDS", 45)
TRIGGER_RUNS_PER_MINUTE = env.integer("OCTAVO_TRIGGER_RUNS_PER_MINUTE", 60, least=1)
TRIGGER_HISTORY_DAYS = env.integer("OCTAVO_TRIGGER_HISTORY_DAYS", 30, least=1, most=3650)
HOOK_TOLERANCE_SECONDS = env.integer("OCTAVO_HOOK_TOLERANCE_SECONDS", 300, least=1, most=86400)
HOOK_MAX_BODY_BYTES = env.integer("OCTAVO_HOOK_MAX_BODY_BYTES", 900_000, least=1)
LEASE_SECONDS = env.integer("OCTAVO_LEASE_SECONDS", 15)
EXTERNAL_IDLE_SECONDS = env.integer("OCTAVO_EXTERNAL_IDLE_SECONDS", 3600)

LOGGING = logging_config(
    level=env.text("OCTAVO_LOG_LEVEL", "INFO"), form=env.text("OCTAVO_LOG_FORMAT", "text")
)
