"""Settings of a project with django-tenants, which has a database backend of its own."""

from __future__ import annotations

import json
import os

DATABASES = {"default": json.loads(os.environ["EXPORTER_TENANTS_DATABASE"])}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SHARED_APPS = [
    "django_tenants",
    "tenants.customers",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "django_infra.exporter",
]
TENANT_APPS = ["tenants.shop"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "customers.Tenant"
TENANT_DOMAIN_MODEL = "customers.Domain"
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = [
    "django_tenants.middleware.main.TenantMainMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
MEDIA_ROOT = os.environ["EXPORTER_TENANTS_MEDIA"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tenants.urls"
SECRET_KEY = "tests"
STATIC_URL = "/static/"
USE_TZ = True
EXPORTER_ADMIN_MAX_DIRECT_ROWS = 10
EXPORTER_RUNNER = {"BACKEND": "tenants.exports.LaterRunner"}
