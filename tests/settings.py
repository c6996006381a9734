"""The settings of worker processes that fault tests start: Octavo's, and the test tools."""

from octavo.settings import *  # noqa: F403
from octavo.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.toolbox.ToolboxConfig"]
