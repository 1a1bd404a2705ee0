"""A container that is no worse than the parity gate can see, and worse all the same, goes back by itself."""

from __future__ import annotations

from conftest import Host


def test_a_container_with_too_few_workers_goes_back(pristine: Host) -> None:
    plan = pristine.plan()
    options = next(item for item in plan["services"] if item["name"] == "httpbin")["uwsgi"]["options"]
    options.update(processes=1, threads=2)  # each answer is right; those that wait behind a slow one are late
    pristine.write_plan(plan)
    said = pristine.refusal("convert", webstack_select="httpbin", webstack_watch=60)
    assert "service httpbin: went back to the host by itself" in said
    assert "answers of the container took more than" in said or "waited for a free worker of the container" in said
    assert pristine.journals()["httpbin"]["phase"] == "host"
