from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from flights.policies import with_policy
from flights.views import exports

login = with_policy(LoginView.as_view(template_name="flights/login.html"))

urlpatterns = [
    # Where browsers look for the icon of the admin's pages.
    path("favicon.ico", RedirectView.as_view(url=static("flights/icon.svg"))),
    path("", exports, name="exports"),
    path("login/", login, name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("api/exports/", include("django_infra.exporter.urls", namespace="exporter")),
]
