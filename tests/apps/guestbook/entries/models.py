from django.db import models


class Entry(models.Model):
    """What one visitor wrote, with a picture if they sent one."""

    text = models.CharField(max_length=500)
    picture = models.ImageField(upload_to="%Y/%m/%d", blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.text
