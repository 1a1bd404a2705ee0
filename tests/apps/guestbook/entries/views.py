import time

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse_lazy
from django.views.generic import CreateView, ListView

from .models import Entry

SLOW_SECONDS = 2


class EntryList(ListView):
    """The entries, newest first, and how often this visitor has been here."""

    model = Entry
    paginate_by = 20

    def get_context_data(self, **kwargs):
        session = self.request.session
        session["visits"] = session.get("visits", 0) + 1
        return super().get_context_data(visits=session["visits"], **kwargs)


class Sign(CreateView):
    """The form for a new entry; leads back to the list."""

    model = Entry
    fields = ["text", "picture"]
    success_url = reverse_lazy("entries")


def entries_json(request: HttpRequest) -> JsonResponse:
    """All entries, oldest first."""
    entries = [
        {"id": entry.pk, "text": entry.text, "picture": entry.picture.url if entry.picture else None}
        for entry in Entry.objects.order_by("id")
    ]
    return JsonResponse({"entries": entries})


def slow(request: HttpRequest) -> HttpResponse:
    """An answer that takes its time, for watching what becomes of requests in flight."""
    time.sleep(SLOW_SECONDS)
    return HttpResponse(f"That took {SLOW_SECONDS} seconds.\n", content_type="text/plain")
