"""Does what an answer needs survive? Labelled evidence, plain baselines, and ours beside them."""

from pycontext.evaluation.contender import Choice, Contender, Role
from pycontext.evaluation.dataset import Dataset, DatasetError, Question, read_dataset
from pycontext.evaluation.field import Field, field_of
from pycontext.evaluation.relay import Relay, RelayError, run_relay
from pycontext.evaluation.report import Report, setting_of
from pycontext.evaluation.sections import markdown
from pycontext.evaluation.tally import Tally
from pycontext.evaluation.trial import Trial, run_trial
from pycontext.evaluation.verdict import Duel, Lead, duels, leads

__all__ = [
    "Choice",
    "Contender",
    "Dataset",
    "DatasetError",
    "Duel",
    "Field",
    "Lead",
    "Question",
    "Relay",
    "RelayError",
    "Report",
    "Role",
    "Tally",
    "Trial",
    "duels",
    "field_of",
    "leads",
    "markdown",
    "read_dataset",
    "run_relay",
    "run_trial",
    "setting_of",
]
