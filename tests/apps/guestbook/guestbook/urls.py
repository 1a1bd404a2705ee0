from django.urls import path

from entries import views

urlpatterns = [
    path("", views.EntryList.as_view(), name="entries"),
    path("sign", views.Sign.as_view(), name="sign"),
    path("entries.json", views.entries_json),
    path("slow", views.slow),
]
