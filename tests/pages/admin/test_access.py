"""What staff with few permissions see, and what they do not."""

from __future__ import annotations

import pytest

from pages.admin.steps import (
    EXPORTS,
    FLIGHTS,
    get_rows,
    run_action,
    start_named,
    wait_for_state,
)


@pytest.fixture
def foreign_id(open_page):
    """Return the id of an export that somebody else has made."""
    return start_named(open_page("/admin/", user="boss"), "failing")


@pytest.fixture
def foreign_file_id(open_page):
    page = open_page("/admin/", user="boss")
    export_id = start_named(page, "gated")
    wait_for_state(page, "success")
    return export_id


def test_exports_of_others_are_not_there(open_page, foreign_file_id, expect):
    page = open_page(EXPORTS + "named/")
    own_id = start_named(page, "failing")
    page.goto(EXPORTS)
    expect(get_rows(page, own_id)).to_be_visible()
    expect(get_rows(page, foreign_file_id)).to_have_count(0)

    for path in (f"{foreign_file_id}/change/", f"{foreign_file_id}/download/"):
        page.goto(EXPORTS + path)
        assert page.url.endswith("/admin/")
        expect(page.locator(".messagelist")).to_contain_text("doesn’t exist")
    answer = page.request.get(f"{EXPORTS}progress/?id={foreign_file_id}")
    assert foreign_file_id not in answer.text()


def test_staff_without_any_right_see_nothing_of_exports(open_page, foreign_id, expect):
    page = open_page("/admin/", user="mole")
    expect(page.get_by_text("don’t have permission to view or edit anything")).to_be_visible()

    for path in ("", f"{foreign_id}/change/", f"{foreign_id}/download/"):
        answer = page.request.get(EXPORTS + path, max_redirects=0)
        assert answer.status in (302, 403)
        assert "LimitExceeded" not in answer.text()


def test_rows_that_a_user_may_not_view_are_not_exported(open_page):
    page = open_page("/admin/", user="mole")

    answer = page.request.get(f"{EXPORTS}change-list/flights/flight/")
    assert answer.status == 403


def test_columns_of_models_that_a_user_may_not_view_are_not_offered(open_page, expect):
    for user, count in (("ada", 1), ("clerk", 0)):
        page = open_page(FLIGHTS, user=user)
        page.get_by_role("checkbox").nth(1).check()
        run_action(page, "Export selected flights")
        expect(page.locator("input[type=checkbox][value=number]")).to_have_count(1)
        expect(page.locator("input[type=checkbox][value=airline__name]")).to_have_count(count)


def test_all_see_all_who_may_view_exports(open_page, foreign_id, expect):
    page = open_page(EXPORTS, user="boss")

    expect(get_rows(page, foreign_id)).to_be_visible()


def test_the_list_is_filtered_by_a_user_who_is_found_by_typing(open_page, foreign_id, expect):
    own_id = start_named(open_page("/admin/"), "failing")
    page = open_page(EXPORTS, user="boss")
    page.get_by_role("combobox", name="User").click()
    page.get_by_role("searchbox").last.fill("ad")
    page.get_by_role("option", name="ada").click()
    page.get_by_role("button", name="Filter").click()

    expect(get_rows(page, own_id)).to_be_visible()
    expect(get_rows(page, foreign_id)).to_have_count(0)
    expect(page.locator("#select2-export-owner-container")).to_contain_text("ada")
