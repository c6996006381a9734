"""The console's addresses. Each page is a permalink; signing in is the only page for strangers."""

from django.urls import path

from apps.console import pages, signing_in

app_name = "console"
urlpatterns = [
    path("", pages.home, name="home"),
    path("ask", pages.ask, name="ask"),
    path("runs/<str:run_id>", pages.run, name="run"),
    path("runs/<str:run_id>/steps", pages.steps, name="steps"),
    path("runs/<str:run_id>/cancel", pages.cancel, name="cancel"),
    path("login", signing_in.password_form, name="login"),
    path("login/<str:token>", signing_in.link, name="link"),
    path("logout", signing_in.sign_out, name="logout"),
]
