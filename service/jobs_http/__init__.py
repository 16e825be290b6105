"""Jobs over HTTP: what is asked, uploads, calls of the store, events, results. The routes are in service/routes/."""

from service.jobs_http.access import JobAccess

__all__ = ["JobAccess"]
