"""Wrong values are named in the words of whoever wrote them, with what would be right."""

import re

import pytest
import yaml
from tree import ROOT

from td_interference.errors import UserError
from td_interference.planning import config, messages
from td_interference.planning.plan import make_plan

# What a person may write, and what the line must say.
ODD = [
    ("training: {updates: 1e5}", "'training.updates': 1e5 is not a whole number; write 100000"),
    ("training: {updates: 2.0e+2}", "200.0 is not a whole number; write 200"),
    ("training: {updates: 100.5}", "100.5 is not a whole number; round it to 100"),
    ("training: {updates: '1,000'}", "'1,000' is not a whole number; write 1000"),
    ("training: {updates: [200]}", "[200] is not a whole number; write 200"),
    ("training: {updates: null}", "null is not a whole number; remove the line"),
    ("training: {updates: true}", "true is not a whole number"),
    ("training: {updates: {value: 5}}", "{value: 5} is not a whole number"),
    ("training: {loss: Capped}", "did you mean 'capped'?"),
    ("training: {on_divergence: leave-out}", "did you mean 'leave_out'?"),
    ("experiments: {td_lambda: {games: [MsPacman]}}", "did you mean ms_pacman"),
    ("control: {games: [ALE/Seaquest-v5]}", "'control.games': unknown name 'ALE/Seaquest-v5'; did"),
    ("experiments: {momentum: {games: [BreakoutNoFrameskip-v4]}}", "did you mean breakout"),
    ("experiments: {td_lambda: {games: ms_pacman}}", "is not a list; write [ms_pacman]"),
    (
        "experiments: {td_lambda: {games: [joust]}}",
        "experiments.td_lambda.games': 'joust' needs two",
    ),
    ("experiments: {td_lambda: {lambdas: []}}", "[] is empty; name at least one"),
    ("experiments: {td_lambda: {lambdas: [0, 1, 0.0]}}", "has 0.0 twice; leave one"),
    ("experiments: {td_lambda: {lambdas: 0.5}}", "0.5 is not a list; write [0.5]"),
    ("experiments: {td_lambda: {checkpoints: last}}", "'last' is not a list (update steps"),
    ("experiments: {td_lambda: {optimizers: [Adam]}}", "did you mean 'adam'?"),
    ("experiments: [td_lambda]", "['td_lambda'] is not a block of keys"),
    ("experiments: null", "'experiments': null is not a block of keys; remove the line"),
    ("lambdas: [0, 1]", "did you mean 'experiments.td_lambda.lambdas' or "),
    ("gamma: 0.9", "'gamma' is unknown; did you mean 'environment.gamma'?"),
    ("n_step: 3", "did you mean 'expert.n_step'?"),
    ("learning-starts: 3", "did you mean 'expert.learning_starts' or"),
    ("training: {updates: 12k}", "'12k' is not a whole number; write 12000"),
    ("training: {updates: 1.5M}", "write 1500000"),
    ("training: {updates: 0.5}", "round it to 1"),
    ("training: {updates: 1e999999999}", "write a number alone"),
    ("training: {momentum: 9/10}", "'9/10' is not a number; write 0.9"),
    ("statistics: {confidence: 95.5%}", "write 0.955"),
    ("statistics: {confidence: 100}", "100 must be below 1 ("),
    ("resume_interval: 60s", "write a number alone, in the unit of this key"),
    ("experiments: {td_lambda: {n_seeds: [0, 1, 2]}}", "is not a whole number; give one number"),
    ("experiments: {td_lambda: {lambdas: '0, 1'}}", "is not a list; write [0, 1]"),
    ("experiments: {td_lambda: {lambdas: [0 0.5]}}", "'0 0.5' is not a number; write a number"),
    ("experiments: {td_lambda: {lambdas: [0, null]}}", "null is nothing; give a value, or remove"),
    ("experiments: {td_lambda: {checkpoints: [100, 100]}}", "in ascending order, each once"),
    ("experiments: {td_lambda: {games: [ＭｓＰａｃｍａｎ]}}", "did you mean ms_pacman"),
    ("metrics: {second_order: {second_term_factor: 2.0}}", "2.0 is not a whole number; write 2"),
    ("control: {n_environments: 1000}", "at least 3000, 3 in each of 1000 'n_environments'"),
    ("datasets: {svhn: {path: ''}}", "'datasets.svhn.path': '' is empty; give a name, or remove"),
    ("datasets: {svnh: {path: a.npz}}", "asks for it; did you mean 'svhn'?"),
    ("datasets: {svhn: {kind: regression}}", "svhn is images; remove the key"),
    ("datasets: {svhn: {stand_in: diabetes}}", "'datasets.svhn.stand_in': diabetes is regression"),
    ("generalization: {experiments: {sarcoss: {updates: 9}}}", "did you mean 'sarcos'?"),
    ("experiments: {td_lambda: none}", "'none' is not a block of keys or null; write null"),
    ("control: false", "false is not a block of keys or null; write null"),
    ("experiments.td_lambda.n_seeds: 3", "write experiments: {td_lambda: {n_seeds: …}}"),
    ("experiments: {td_lambda.n_seeds: 3}", "write td_lambda: {n_seeds: …}"),
    ("expert: {priority_exponent: 100}", "100 is greater than the maximum of 1"),
    ("generalization: {experiments: {sarcos: {n_seeds: 100000000}}}", "the maximum of 1000"),
    ("scale: papper", "did you mean 'paper'?"),
    ("scale: [smoke]", "'scale': ['smoke'] is not one of smoke, laptop, paper"),
    ("scale: null", "'scale': null is not one of"),
    ("device: CUDA", "did you mean 'cuda'?"),
    ("shared_replay: maybe", "'maybe' is not one of auto, true, false"),
    ("expert: {life_loss_terminal: 'yes'}", "'yes' is not true or false; write true"),
    ("expert: {hidden: .inf}", "'expert.hidden': inf is no finite number"),
    ("expert: {learning_rate: 0}", "0 must be above 0"),
    ("metrics: {stiffness: null}", "'metrics.stiffness': null is not a block of keys"),
    ("metrics: {stifness: {anchors: 5}}", "did you mean 'stiffness'?"),
    ("datasets: {svhn: {path: 3}}", "3 is not a text or null; give a name with a letter in it"),
    ("datasets: {My-Data: {kind: images}}", "did you mean 'my_data'?"),
    ("datasets: {svhn: {stand_in: digit}}", "did you mean 'digits'?"),
    ("datasets: {mine: {kind: image, path: x.npz}}", "did you mean 'images'?"),
    ("own_objectives: half_way.py", "is not a list; write [half_way.py]"),
    ("random_networks: {studies: {network: mlp}}", "write [{network: 'mlp'}]"),
    ("statistics: {confidence: 95}", "95 must be below 1; write 0.95 for 95%"),
    ("replay: {epsilon: 5%}", "'5%' is not a number; write 0.05"),
    ("expert: {seed: 100000000000000000000000}", "a number this large cannot be counted with"),
    ("training: {steps: 5}", "'training.steps' is called 'updates' now"),
    ("experiments: {td_lambda: {steps: 5}}", "steps' is called 'updates' now"),
    ("experiments: {td_lambda: {seeds: 5}}", "seeds' is called 'n_seeds' now"),
    ("expert: {training_steps: 5}", "'expert.training_steps' is called 'agent_steps' now"),
    ("expert: {target_period: 5}", "'expert.target_period' is called 'frozen_period' now"),
    ("replay: {environments: 5}", "'replay.environments' is called 'n_environments' now"),
    ("control: {steps: 5}", "'control.steps' is called 'agent_steps' now"),
    ("control: {buffer_capacity: 5}", "is called 'replay_capacity' now"),
    ("control: {random_fill: 5}", "'control.random_fill' is called 'learning_starts' now"),
    ("metrics: {policy_score: {environments: 5}}", "is called 'n_environments' now"),
    (
        "generalization: {experiments: {sarcos: {steps: 5}}}",
        "'generalization.experiments.sarcos.steps' is called 'updates' or 'agent_steps' now",
    ),
    ("generalization: {experiments: {sarcos: {experiment: x}}}", "is called 'task' now"),
    (
        "generalization: {experiments: {svhn_double_dqn: {agent: {steps_per_update: 2}}}}",
        "is called 'updates_per_step' now; write 1 divided by it",
    ),
    (
        "generalization: {experiments: {sarcos: {agent_steps: 300}}}",
        "sarcos.agent_steps': 300 is not what the training of regression is counted in; write 'up",
    ),
    ("training: {minibatch: 0}", "'training.minibatch': 0 is less than the minimum of 1"),
    (
        "training: {weight_decay: -1.0}",
        "-1.0 is less than the minimum of 0 (L2 coefficient; default",
    ),
    ("control: {learning_rates: [0]}", "'control.learning_rates.0': 0 must be above 0"),
    ("control: {n_seeds: -1}", "'control.n_seeds': -1 is less than the minimum of 1"),
    ("environment: {gamma: 1}", "1 must be below 1 (discount per agent step"),
]


@pytest.mark.parametrize(("written", "said"), ODD, ids=[written for written, _ in ODD])
def test_odd_values_get_a_line_in_plain_words(written, said):
    with pytest.raises(UserError) as error:
        make_plan({"scale": "smoke", **yaml.safe_load(written)}, ROOT / "workflow")
    line = str(error.value)
    assert said in line and line.startswith("config key '") and "\n" not in line
    words_of_programs = r"of type|non-empty|non-unique|too short|schema|None|True|False|\^|match"
    assert not re.search(words_of_programs, line)


def test_every_rule_of_the_schema_has_a_sentence():
    told = {*messages._SENTENCES, *messages.STRUCTURE}
    structure = {"properties", "patternProperties", "items", "description", "default", "$ref"}
    structure |= {"$schema", "$defs", "title"}

    def rules(node):
        if isinstance(node, dict):
            yield from node
            for name, below in node.items():
                if name in ("properties", "patternProperties", "$defs"):
                    for inner in below.values():
                        yield from rules(inner)
                elif name == "items":
                    yield from rules(below)

    schema = config.read_schema(ROOT / "workflow")
    assert set(rules(schema)) - structure <= told


def test_a_word_is_not_asked_for_by_itself():
    assert messages.did_you_mean("svhn", ["svhn", "digits"]) == ""
    assert messages.did_you_mean("SVHN", ["svhn"]) == "; did you mean 'svhn'?"
