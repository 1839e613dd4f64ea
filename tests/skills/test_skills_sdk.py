"""The published client's `Skill`, unchanged, against the running service: all of its calls."""

import pytest
from roboto.domain.skills import (
    CreateSkillVersionRequest,
    Skill,
    SkillAccessibility,
    SkillListScope,
    UpdateSkillMetadataRequest,
    UpdateSkillVersionRequest,
)
from roboto.exceptions import (
    RobotoConflictException,
    RobotoInvalidRequestException,
    RobotoNotFoundException,
    RobotoUnauthorizedException,
)
from roboto.http import RobotoClient

from app.access.caller import KeyScope
from tests.contract.conftest import Service
from tests.skills.conftest import Create

ORG = SkillAccessibility.Org
EDITABLE = SkillAccessibility.OrgEditable
PRIVATE = SkillAccessibility.Private


def seen_by(client: RobotoClient, skill: Skill) -> Skill:
    return Skill.from_id(skill.skill_id, client)


def names(client: RobotoClient, scope: SkillListScope | None = None) -> list[str]:
    return [found.skill.name for found in Skill.list_for_org(scope, roboto_client=client)]


def test_a_skill_is_created_and_found(
    service: Service, roboto: RobotoClient, create: Create
) -> None:
    made = create(tags=["qa", "triage", "qa"], relevant_topics=["/imu/data"])

    assert made.skill_id.startswith("sk_")
    assert (made.name, made.accessibility, made.tags) == ("qa-review", PRIVATE, ["qa", "triage"])
    assert (made.org_id, made.created_by) == (service.key.org_id, service.key.user_id)
    assert made.record.created == made.record.modified
    assert seen_by(roboto, made) == made
    assert Skill.from_name("qa-review", roboto_client=roboto) == made
    assert Skill.from_name("qa-review", caller_org_id=made.org_id, roboto_client=roboto) == made
    [first] = made.list_versions()
    assert (first.version, first.description) == (1, "When qa-review is asked for.")
    assert (first.body, first.relevant_topics) == ("Do qa-review.", ["/imu/data"])
    assert first == made.get_version(1)


def test_the_author_is_subscribed_with_version_1(
    service: Service, roboto: RobotoClient, create: Create
) -> None:
    made = create()

    summary = Skill.get_summary(made.skill_id, roboto)
    assert summary.skill == made.record
    assert summary.latest_version == made.get_version(1)
    assert summary.subscription is not None
    assert summary.subscription.ai_version == 1
    assert summary.subscription.user_id == service.key.user_id
    assert list(Skill.list_for_org(roboto_client=roboto)) == [summary]


def test_all_pages_of_the_list_are_walked_newest_first(
    roboto: RobotoClient, create: Create
) -> None:
    made = [create(f"s{number}").name for number in range(23)]

    assert names(roboto) == made[::-1]
    assert names(roboto, SkillListScope.Personal) == made[::-1]
    assert names(roboto, SkillListScope.Org) == []


def test_the_scopes_of_the_list(roboto: RobotoClient, bob: RobotoClient, create: Create) -> None:
    create("private")
    create("subscribed", accessibility=ORG)
    create("other", accessibility=EDITABLE)
    create("bobs", by=bob)
    Skill.from_name("subscribed", roboto_client=bob).subscribe()

    assert names(bob) == ["bobs", "other", "subscribed"]
    assert names(bob, SkillListScope.Personal) == ["bobs", "subscribed"]
    assert names(bob, SkillListScope.Org) == ["other", "subscribed"]
    assert names(roboto, SkillListScope.Org) == []
    own = {s.skill.name: s.subscription for s in Skill.list_for_org(roboto_client=bob)}
    assert own["other"] is None
    assert own["subscribed"] is not None
    assert own["subscribed"].ai_version is None


def test_tags_are_those_of_visible_skills(
    roboto: RobotoClient, bob: RobotoClient, create: Create
) -> None:
    create("a", tags=["z", "mine"])
    create("b", tags=["z", "é"], accessibility=ORG)
    create("c")

    assert Skill.list_known_tags(roboto_client=roboto) == ["mine", "z", "é"]
    assert Skill.list_known_tags(roboto_client=bob) == ["z", "é"]


def test_metadata_is_updated_and_refreshed(roboto: RobotoClient, create: Create) -> None:
    made = create(tags=["a", "b"])
    held = seen_by(roboto, made)

    made.update_metadata(
        UpdateSkillMetadataRequest(name="renamed", put_tags=["c", "a"], remove_tags=["b", "x"])
    )
    assert (made.name, made.tags, made.accessibility) == ("renamed", ["a", "c"], PRIVATE)
    assert made.record.modified > made.record.created
    assert held.name == "qa-review"
    assert held.refresh().name == "renamed"
    made.update_metadata(UpdateSkillMetadataRequest(accessibility=ORG))
    assert (made.accessibility, made.name) == (ORG, "renamed")


def test_versions_are_numbered_changed_in_place_and_deleted(
    roboto: RobotoClient, create: Create
) -> None:
    made = create()
    second = made.create_version(
        CreateSkillVersionRequest(description="d2", body="b2", relevant_topics=["/gps"])
    )
    assert (second.version, second.body, second.relevant_topics) == (2, "b2", ["/gps"])
    assert [version.version for version in made.list_versions()] == [2, 1]

    changed = made.update_version(2, UpdateSkillVersionRequest(body="b2!", relevant_topics=[]))
    assert (changed.description, changed.body, changed.relevant_topics) == ("d2", "b2!", [])
    assert changed.modified > changed.created == second.created
    assert made.get_version(2) == changed
    summary = Skill.get_summary(made.skill_id, roboto)
    assert summary.latest_version == changed
    assert summary.subscription is not None
    assert summary.subscription.ai_version == 1
    assert summary.skill.modified > made.record.modified

    made.delete_version(2)
    latest = Skill.get_summary(made.skill_id, roboto).latest_version
    assert latest is not None
    assert latest.version == 1
    assert made.create_version(CreateSkillVersionRequest(description="", body="")).version == 2
    made.delete_version(1)
    assert [version.version for version in made.list_versions()] == [2]
    with pytest.raises(RobotoNotFoundException, match="no version 1"):
        made.get_version(1)
    with pytest.raises(RobotoNotFoundException, match="no version 1"):
        made.update_version(1, UpdateSkillVersionRequest(body="x"))
    with pytest.raises(RobotoNotFoundException, match="no version 1"):
        made.delete_version(1)


def test_deleting_the_last_version_deletes_the_skill(roboto: RobotoClient, create: Create) -> None:
    made = create()
    made.delete_version(1)

    with pytest.raises(RobotoNotFoundException):
        made.refresh()
    assert names(roboto) == []
    assert create().skill_id != made.skill_id


def test_a_deleted_skill_is_not_found(
    roboto: RobotoClient, bob: RobotoClient, create: Create
) -> None:
    made = create(accessibility=ORG)
    seen_by(bob, made).subscribe()
    made.delete()

    for again in (made.refresh, made.delete, made.list_versions, made.subscribe, made.unsubscribe):
        with pytest.raises(RobotoNotFoundException):
            again()
    with pytest.raises(RobotoNotFoundException):
        Skill.from_name("qa-review", roboto_client=roboto)
    assert names(bob) == []


def test_a_subscription_is_made_pinned_cleared_and_ended(bob: RobotoClient, create: Create) -> None:
    skill = create(accessibility=ORG)
    skill.create_version(CreateSkillVersionRequest(description="d", body="b"))
    held = seen_by(bob, skill)

    first = held.subscribe()
    assert first.ai_version is None
    pinned = held.set_ai_version(2)
    assert (pinned.ai_version, pinned.subscribed) == (2, first.subscribed)
    assert held.subscribe() == pinned
    with pytest.raises(RobotoInvalidRequestException, match="no version 3"):
        held.set_ai_version(3)
    assert held.set_ai_version(None) == first
    held.unsubscribe()
    held.unsubscribe()
    assert Skill.get_summary(skill.skill_id, bob).subscription is None
    assert held.set_ai_version(1).ai_version == 1


def test_a_deleted_version_is_nobodys_any_more(bob: RobotoClient, create: Create) -> None:
    skill = create(accessibility=ORG)
    skill.create_version(CreateSkillVersionRequest(description="d", body="b"))
    seen_by(bob, skill).set_ai_version(2)
    skill.delete_version(2)

    subscription = Skill.get_summary(skill.skill_id, bob).subscription
    assert subscription is not None
    assert subscription.ai_version is None


def test_a_skill_made_private_leaves_only_its_author(
    roboto: RobotoClient, bob: RobotoClient, create: Create
) -> None:
    skill = create(accessibility=ORG)
    held = seen_by(bob, skill)
    held.set_ai_version(1)

    skill.update_metadata(UpdateSkillMetadataRequest(accessibility=PRIVATE))
    with pytest.raises(RobotoNotFoundException):
        held.refresh()
    skill.update_metadata(UpdateSkillMetadataRequest(accessibility=ORG))

    assert Skill.get_summary(skill.skill_id, bob).subscription is None
    own = Skill.get_summary(skill.skill_id, roboto).subscription
    assert own is not None
    assert own.ai_version == 1


def test_names_are_unique_in_the_org_and_private_ones_per_author(
    roboto: RobotoClient, bob: RobotoClient, create: Create
) -> None:
    private, shared = create(), create(accessibility=ORG)
    create(by=bob)

    for accessibility in SkillAccessibility:
        with pytest.raises(RobotoConflictException, match="'qa-review' already"):
            create(accessibility=accessibility)
    with pytest.raises(RobotoConflictException):
        create(by=bob, accessibility=EDITABLE)
    with pytest.raises(RobotoConflictException):
        private.update_metadata(UpdateSkillMetadataRequest(accessibility=EDITABLE))
    with pytest.raises(RobotoConflictException):
        create("other").update_metadata(UpdateSkillMetadataRequest(name="qa-review"))
    # The caller's own private one wins.
    assert Skill.from_name("qa-review", roboto_client=roboto) == private
    private.delete()
    assert Skill.from_name("qa-review", roboto_client=roboto) == shared


def test_what_is_private_is_the_authors_alone(
    roboto: RobotoClient, bob: RobotoClient, create: Create
) -> None:
    hidden = create(by=bob)

    assert names(roboto) == []
    with pytest.raises(RobotoNotFoundException):  # also for an admin
        seen_by(roboto, hidden)
    with pytest.raises(RobotoNotFoundException):
        Skill.from_name("qa-review", roboto_client=roboto)


def test_a_skill_of_the_org_is_read_by_all_and_edited_by_its_author(
    bob: RobotoClient, create: Create
) -> None:
    skill = create(accessibility=ORG)
    held = seen_by(bob, skill)

    assert held.get_version(1).body == "Do qa-review."
    for refused in (
        lambda: held.update_metadata(UpdateSkillMetadataRequest(put_tags=["x"])),
        lambda: held.create_version(CreateSkillVersionRequest(description="d", body="b")),
        lambda: held.update_version(1, UpdateSkillVersionRequest(body="b")),
        lambda: held.delete_version(1),
        held.delete,
    ):
        with pytest.raises(RobotoUnauthorizedException, match="only its author"):
            refused()
    assert skill.get_version(1).body == "Do qa-review."
    assert skill.refresh().tags == []


def test_an_org_editable_skill_is_edited_by_all_and_deleted_by_its_author(
    bob: RobotoClient, create: Create
) -> None:
    skill = create(accessibility=EDITABLE)
    held = seen_by(bob, skill)

    held.update_metadata(UpdateSkillMetadataRequest(name="renamed", put_tags=["x"]))
    held.create_version(CreateSkillVersionRequest(description="d", body="b"))
    held.update_version(1, UpdateSkillVersionRequest(body="by bob"))
    assert (skill.refresh().name, skill.get_version(1).body) == ("renamed", "by bob")
    for refused in (
        held.delete,
        lambda: held.update_metadata(UpdateSkillMetadataRequest(accessibility=PRIVATE)),
    ):
        with pytest.raises(RobotoUnauthorizedException, match="only its author"):
            refused()
    held.delete_version(1)
    with pytest.raises(RobotoUnauthorizedException, match="only its author deletes"):
        held.delete_version(2)
    skill.delete_version(2)
    with pytest.raises(RobotoNotFoundException):
        held.refresh()


def test_another_org_sees_nothing(
    service: Service, roboto: RobotoClient, stranger: RobotoClient, create: Create
) -> None:
    skill = create(accessibility=EDITABLE, tags=["secret"])
    theirs = Skill(skill.record, stranger)

    assert names(stranger) == []
    assert Skill.list_known_tags(roboto_client=stranger) == []
    for refused in (
        theirs.refresh,
        theirs.delete,
        theirs.list_versions,
        theirs.subscribe,
        theirs.unsubscribe,
        lambda: theirs.get_version(1),
        lambda: theirs.set_ai_version(1),
        lambda: theirs.delete_version(1),
        lambda: theirs.update_version(1, UpdateSkillVersionRequest(body="b")),
        lambda: theirs.create_version(CreateSkillVersionRequest(description="d", body="b")),
        lambda: theirs.update_metadata(UpdateSkillMetadataRequest(name="x")),
        lambda: Skill.get_summary(skill.skill_id, stranger),
        lambda: Skill.from_name("qa-review", roboto_client=stranger),
    ):
        with pytest.raises(RobotoNotFoundException):
            refused()
    assert create(by=stranger, accessibility=ORG).name == "qa-review"  # names are the org's
    with pytest.raises(RobotoUnauthorizedException):
        list(Skill.list_for_org(caller_org_id=service.key.org_id, roboto_client=stranger))
    assert skill.get_version(1).body == "Do qa-review."


def test_a_key_that_reads_changes_nothing(service: Service, create: Create) -> None:
    skill = create()
    reader = seen_by(service.client(service.new_key(scopes=[KeyScope.READ]).api_key), skill)

    assert reader.get_version(1).version == 1
    for refused in (reader.delete, reader.subscribe, reader.unsubscribe):
        with pytest.raises(RobotoUnauthorizedException, match="scope 'write'"):
            refused()
