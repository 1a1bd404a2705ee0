"""Completing and rendering, over thousands of generated service lists; no host."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from strategies import service_lists

from ansible_collections.gantry.webstack.plugins.plugin_utils import install_args, model, render_nginx, render_uwsgi

MANY = settings(max_examples=300, deadline=None)


@MANY
@given(service_lists())
def test_completing_is_pure_and_completing_again_changes_nothing(services: list[model.Service]) -> None:
    before = copy.deepcopy(services)
    done = install_args.check(model.complete_all(services))
    assert services == before
    assert model.complete_all(done) == done
    assert [item["name"] for item in done] == [item["name"] for item in services]


@MANY
@given(service_lists())
def test_a_plan_of_completed_services_survives_its_file(services: list[model.Service]) -> None:
    plan = {"version": 1, "host": "h", "services": model.complete_all(services)}
    assert model.loads(model.dumps(plan), "plan") == plan


@MANY
@given(service_lists(least=1))
def test_one_service_renders_alike_whatever_stands_beside_it(services: list[model.Service]) -> None:
    done = model.complete_all(services)
    together = [install_args.vassals(done), install_args.sites(done), install_args.webapps(done)]
    alone = [[item for one in done for item in install_args.vassals([one])], [item for one in done for item in install_args.sites([one])],
             [item for one in done for item in install_args.webapps([one])]]
    assert together == alone


@MANY
@given(service_lists(least=1, most=1))
def test_no_value_breaks_out_of_its_line(services: list[model.Service]) -> None:
    (done,) = model.complete_all(services)
    text = render_uwsgi.vassal(done)
    assert text.count("\nenv = ") == len(done["environment"])
    assert all(" = " in line or line.startswith((";", "[")) for line in text.splitlines())
    assert "value-of" not in text
    assert render_nginx.site_file(done).count("server {") == len(done["nginx"]["sites"])
