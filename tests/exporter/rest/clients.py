from __future__ import annotations

from rest_framework.test import APIClient


class ClosingClient(APIClient):
    """A client that gets a response where the server fails, and ends each as a server does."""

    def __init__(self, **kwargs):
        super().__init__(raise_request_exception=False, **kwargs)
        self.responses = []

    def request(self, **kwargs):
        response = super().request(**kwargs)
        self.responses.append(response)
        return response

    def close(self):
        for response in self.responses:
            response.close()
