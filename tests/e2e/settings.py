"""The settings of the processes that browser tests start: Octavo's, and the shop's tools."""

from octavo.settings import *  # noqa: F403
from octavo.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.e2e.shop.ShopConfig"]
