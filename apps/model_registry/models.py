"""Providers belong to an organisation, routes to a project; keys are sealed to their rows."""

from django.db import models
from django.db.models.functions import Now

from octavo.kernel import ids
from octavo.kernel.secrets import EncryptedField


class Provider(models.Model):
    """`automatic` rows follow the environment of the installation; the others follow people."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.CASCADE, related_name="+")
    name = models.TextField()
    kind = models.TextField()
    base_url = models.TextField()
    api_key = EncryptedField(default="")
    automatic = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "provider"
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="provider_name_once")
        ]


class Model(models.Model):
    """What one provider serves; prices are USD per million tokens."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="models")
    name = models.TextField()
    kind = models.TextField()
    tier = models.TextField()
    context_window = models.PositiveIntegerField()
    native_tools = models.BooleanField()
    dimensions = models.PositiveIntegerField(null=True)
    input_price = models.DecimalField(max_digits=20, decimal_places=9)
    output_price = models.DecimalField(max_digits=20, decimal_places=9)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "model"
        constraints = [models.UniqueConstraint(fields=["provider", "name"], name="model_name_once")]


class Route(models.Model):
    """The name that agents use. `automatic`: no person has set it, so a restart may repoint it."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    project = models.ForeignKey("accounts.Project", models.CASCADE, related_name="+")
    name = models.TextField()
    kind = models.TextField()
    automatic = models.BooleanField(default=False)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "route"
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="route_name_once")]


class RouteTarget(models.Model):
    """The models of a route in the order in which a call tries them."""

    id = models.BigAutoField(primary_key=True)
    route = models.ForeignKey(Route, models.CASCADE, related_name="targets")
    model = models.ForeignKey(Model, models.PROTECT, related_name="+")
    ord = models.PositiveSmallIntegerField()

    class Meta:
        db_table = "route_target"
        ordering = ["ord"]
        constraints = [
            models.UniqueConstraint(fields=["route", "ord"], name="route_target_in_order"),
            models.UniqueConstraint(fields=["route", "model"], name="route_target_once"),
        ]
