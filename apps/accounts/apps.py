"""Accounts contributes the role of users and services as a fact to policy decisions."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
