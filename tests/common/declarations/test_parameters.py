from common.declarations import parameter_claims, parameters
from common.reproduce.declare.spec import Quantity
from common.reproduce.declare.tolerances import within_relative

TRIAL = "papers.gla.experiments:parameters"


def test_a_size_is_a_variant():
    made = parameters(TRIAL, "Millions.", ("340M", "1.3B"), smoke_variants=("340M",))
    assert made.settings("cpu", "1.3B") == {"size": "1.3B"}
    assert made.preset_variants("smoke") == ("340M",)
    assert (made.kind, made.seeds, made.metrics) == ("static", (0,), ("millions",))
    assert {preset.scale for preset in made.presets.values()} == {"paper"}


def test_variants_may_have_other_names_than_their_sizes():
    made = parameters(TRIAL, "Number.", {"125M-1to0": "125M[1:0]"}, metric="parameters")
    assert made.variants == {"125M-1to0": {"size": "125M[1:0]"}}


def test_a_claim_a_size():
    made = parameters(TRIAL, "Millions.", ("340M", "1.3B"))
    claims = parameter_claims(made, within_relative(0.02), "Rounded.")
    assert [(claim.id, claim.quantity) for claim in claims] == [
        ("parameters-340M", Quantity("340M", "millions")),
        ("parameters-1.3B", Quantity("1.3B", "millions")),
    ]
    assert {claim.kind for claim in claims} == {"static"}
