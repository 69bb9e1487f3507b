from __future__ import annotations

import pytest

from app.identity.password_rules import require_acceptable
from app.kit.errors import InvalidInput

EMAIL = "Ana.Lopez@example.com"


def code_of(password: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        require_acceptable(password, email=EMAIL, min_length=8)
    (problem,) = refused.value.errors
    assert problem.pointer == "/password"
    assert password not in refused.value.detail
    return problem.code


@pytest.mark.parametrize("password", ["1", "1234567", "ÄÖÜäöüß"])
def test_a_password_under_the_minimum_is_too_short(password):
    assert code_of(password) == "password_too_short"


@pytest.mark.parametrize(
    "password",
    ["123qweasdzxc", "1qaz2wsx3edc", "q1w2e3r4t5y6", "Mailcreated5240", "qazwsxedcrfv", "123456qwerty", "qwertyuiop"],
)
def test_a_password_of_the_published_lists_is_refused(password):
    assert code_of(password) == "password_common"


@pytest.mark.parametrize(
    "password",
    [
        "PASSWORD",
        "\uff30\uff21\uff33\uff33\uff37\uff2f\uff32\uff24",
        "Password2024!",
        "welcome!!!!!",
        "Dragon 12345678",
    ],
)
def test_neither_case_nor_what_is_appended_hides_a_listed_password(password):
    assert code_of(password) == "password_common"


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "qwertyqwerty",
        "monkeymonkeymonk",
        "password password",
        "letmein1letmein1",
        "password-password!",
    ],
)
def test_a_listed_password_repeated_is_refused(password):
    assert code_of(password) == "password_common"


@pytest.mark.parametrize("password", ["aaaaaaaaaaaa", "xyxyxyxyxyxy", "xq7xq7xq7xq7", "            "])
def test_a_few_characters_repeated_are_refused(password):
    assert code_of(password) in {"password_repetitive", "password_common"}


@pytest.mark.parametrize("password", ["abcdefghijkl", "qwertyuiopasdfgh", "12345678901234", "zyxwvutsrqpo"])
def test_a_run_over_alphabet_or_keyboard_is_refused(password):
    assert code_of(password) == "password_common"


@pytest.mark.parametrize(
    "password", ["ana.lopez@example.com", "ANA.LOPEZ1999", "task management api", "Task-Management-API!", "taskapi2026"]
)
def test_the_own_address_and_the_name_of_the_product_are_refused(password):
    assert code_of(password) == "password_guessable"


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "correct-horse-battery-staple-42",
        "no digits or capitals",
        "4915112345678",
        "!?!#§$%&/()=?`",
        "пароль для сайта",
        "x" * 60 + "yz",
        "ana.lopez walks her dog",
    ],
)
def test_any_other_long_password_is_accepted_whatever_it_is_made_of(password):
    require_acceptable(password, email=EMAIL, min_length=12)
