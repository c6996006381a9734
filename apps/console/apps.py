"""The web console."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "apps.console"

    def ready(self) -> None:
        """Put the staff's site in place before the tables of any app are registered with one."""
        from django.contrib import admin
        from django.contrib.admin import sites

        from apps.console.staff import StaffSite

        admin.site = sites.site = StaffSite()
