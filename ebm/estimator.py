"""A scikit-learn outlier detector over `ebm.tabular`. Signs and labels turn into scikit-learn's here and nowhere else.

scikit-learn: higher = more normal, +1 normal, -1 outlier. Everywhere else in `ebm`: higher = more anomalous.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from ebm import artifact, tabular
from ebm.card import model_card
from ebm.detector import Scores
from ebm.errors import BadInput
from ebm.manifest import Manifest
from ebm.preprocessing.frames import as_table, is_frame

if TYPE_CHECKING:
    from ebm.explain import Explanation
    from ebm.impute import Imputed

LARGEST = np.finfo(np.float64).max


def _training_rows_may_be_anomalous(self: EnergyDetector) -> bool:
    if self.contamination is None:
        raise AttributeError(
            "fit_predict labels the training rows, which contamination=None takes to be normal; set "
            "contamination='auto' or a share, or read training_p_values_ after fit"
        )
    return True


class EnergyDetector(OutlierMixin, BaseEstimator):
    """Anomaly detection for tables: learns an energy of the training rows, scores others with conformal p-values.

        EnergyDetector().fit(X).p_values(X_new)

    X is an array of numbers (NaN = missing), or a frame (pandas, polars, Arrow) whose columns may be numeric, boolean,
    categorical, text or dates, with nulls. A model fitted on a frame wants the same columns again.

    p(x) = (1 + #{training rows whose leave-one-out anomaly score is at least that of x}) / (1 + n): at most `a` with
    probability at most `a` on new normal rows (Vovk, Gammerman & Shafer, 2005), without rows set aside for it.

    Parameters:
        fpr: in (0, 1). `predict` says -1 where p <= fpr, so about this share of *normal* rows raises an alarm. It
            moves labels only (`predict`, `fit_predict`, the zero of `decision_function`), never the ranking.
        contamination: what is known of the *training rows*. None: all normal. A share in (0, 0.5]: about so many of
            them are anomalies. "auto": an unknown share; 30% of the rows are not learnt from, which costs 3 to 4
            points of AUROC where all were normal. This is NOT the alarm rate: it keeps anomalies among the training
            rows from being learnt as normal, and `fpr` alone sets the labels. (In
            IsolationForest and in PyOD the word means the share of training rows to be labelled.)
        network: whether a trained network joins the kernel energies: True, False, or "auto", by the size of the data.
        random_state: int, RandomState or None (other results each time); 0, so that a fit can be repeated.
        device: where to compute, "cpu" or "cuda".

    Attributes:
        detector_: the fitted `ebm.Detector`: every other call of the library (`generate`, `score(fdr=)`, ...).
        offset_: minus the anomaly score beyond which p <= fpr; -inf where so few rows were fitted that none can be.
        training_anomaly_scores_: (n,) leave-one-out: of each training row, by the others.
        training_p_values_: (n,) their p-values.
        n_features_in_: number of columns; feature_names_in_: (d,) names, where X had names.

    `predict(X)` of the very rows of `fit` is not what it says of new rows: each finds itself among the training rows
    and looks more normal than it is. As with `LocalOutlierFactor(novelty=True)`, use it for other rows, and
    `training_p_values_` or `fit_predict` for these.
    """

    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(
        self,
        *,
        fpr: float = 0.05,
        contamination: float | str | None = None,
        network: bool | str = "auto",
        random_state: int | np.random.RandomState | None = 0,
        device: str = "cpu",
    ):
        self.fpr = fpr
        self.contamination = contamination
        self.network = network
        self.random_state = random_state
        self.device = device

    @property
    def novelty(self) -> bool:
        """True: as in `LocalOutlierFactor`, `predict` is for rows that were not fitted."""
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    # -- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows X (n, d), at least 2; y is ignored.

        Raises:
            ValueError (BadInput): parameters out of range, or rows that cannot be used; names row and column.
        """
        self._check_parameters()
        self._is_frame = is_frame(X)
        rows = self._validated(X, reset=True)
        self.detector_, self.training_anomaly_scores_ = tabular.fit_tabular_with_scores(
            rows,
            contamination=self.contamination,
            seed=_seed(self.random_state),
            network=self.network,
            device=self.device,
        )
        self._calibrate()
        self.training_p_values_ = self.detector_.calibration.p_values(self.training_anomaly_scores_)
        return self

    @available_if(_training_rows_may_be_anomalous)
    def fit_predict(self, X: Any, y: Any = None, **_: Any) -> np.ndarray:
        """Fit, and label the training rows themselves, each by the others: (n,) of +1 and -1, -1 where
        `training_p_values_` <= fpr. Only where `contamination` says that there may be anomalies among them."""
        return _labels(-self.fit(X, y).training_anomaly_scores_ - self.offset_)

    # -- scoring ----------------------------------------------------------------------------------------------------

    def energy(self, X: Any) -> np.ndarray:
        """E(x) of rows (N, d): (N,) float32, unnormalised, lower = more normal."""
        return self._scores(X).energy

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the anomaly score of rows (N, d): (N,) float64, higher = more normal."""
        # Far from all data float32 overflows; scorers refuse infinity.
        return -np.minimum(self._scores(X).anomaly_score, LARGEST)

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` - `offset_`: (N,), negative = outlier, that is p <= fpr."""
        score_samples = self.score_samples(X)
        return score_samples - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 where p <= fpr, else +1: (N,) int."""
        return _labels(self.decision_function(X))

    def p_values(self, X: Any) -> np.ndarray:
        """Conformal p-values of rows (N, d): (N,) in (0, 1], small = anomalous."""
        return self._scores(X).p_value

    # -- more than scores -------------------------------------------------------------------------------------------

    def explain(self, X: Any) -> Explanation:
        """What each column adds to the energy of rows (N, d), and their nearest normal versions; `Detector.explain`."""
        check_is_fitted(self)
        return self.detector_.explain(self._validated(X))

    def impute(self, X: Any, *, n_draws: int = 32, seed: int = 0) -> Imputed:
        """Values for the missing cells of rows (N, d), drawn given the others; `Detector.impute`."""
        check_is_fitted(self)
        return self.detector_.impute(self._validated(X), n_draws=n_draws, seed=seed)

    # -- on disk ----------------------------------------------------------------------------------------------------

    def save(self, models_dir: Path | str, name: str, version: str = "1") -> Path:
        """Publish as `models_dir/name/version`, for `load`, `ebm score` and the server. JSON and arrays, no pickle.

        Raises:
            BadInput: a name or version that no folder can have. BadArtifact: that version exists already.
        """
        check_is_fitted(self)
        detector = copy.copy(self.detector_)
        values: dict[str, Any] = detector.manifest.model_dump() | {"name": name, "version": version}
        values["calibration"]["default_fpr"] = self.fpr
        try:
            detector.manifest = Manifest.model_validate(values)
        except ValueError:
            raise BadInput(f"'{name}' version '{version}': letters, digits, '.', '_' and '-' only") from None
        return artifact.publish(detector, models_dir, model_card(detector.manifest))

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> Self:
        """The estimator that was saved at `path` (`models_dir/name/version`), or any other published tabular model.

        Scores are identical; `training_*` are not stored, and parameters of a fit that the model does not record have
        their defaults.

        Raises:
            BadArtifact: incomplete or altered. BadInput: not a model of tables.
        """
        detector = artifact.load(path, device)
        if detector.kind != "tabular":
            raise BadInput(f"{path}: a model of kind '{detector.kind}', not of tables")
        self = cls(fpr=detector.manifest.calibration.default_fpr, device=device)
        self.detector_, self._is_frame = detector, getattr(detector.preprocessor, "frame", False)
        self.n_features_in_ = int(np.prod(detector.input_shape))
        if detector.columns is not None:
            self.feature_names_in_ = np.asarray(detector.columns, dtype=object)
        self._calibrate()
        return self

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        share: Any = self.contamination
        if not (share is None or share == "auto" or (_is_number(share) and 0 < share <= 0.5)):
            raise BadInput(f"contamination must be None, 'auto' or a share in (0, 0.5], got {share!r}")
        if not (_is_number(self.fpr) and 0 < self.fpr < 1):
            raise BadInput(f"fpr must lie in (0, 1), got {self.fpr!r}")
        if not (isinstance(self.network, bool) or self.network == "auto"):
            raise BadInput(f"network must be True, False or 'auto', got {self.network!r}")

    def _scores(self, X: Any) -> Scores:
        check_is_fitted(self)
        return self.detector_.score(self._validated(X))

    def _validated(self, X: Any, reset: bool = False) -> Any:
        """Rows as the detector takes them, checked against the columns that were fitted."""
        if not self._is_frame:
            return validate_data(
                self,
                X,
                reset=reset,
                dtype=np.float64,
                ensure_all_finite="allow-nan",
                ensure_min_samples=2 if reset else 1,
            )
        if is_frame(X) and not hasattr(X, "shape"):
            X = as_table(X)  # records, a mapping of columns
        X = validate_data(self, X, reset=reset, skip_check_array=True)
        return as_table(X, None if reset else self.detector_.columns)

    def _calibrate(self) -> None:
        calibration = self.detector_.calibration
        self.offset_ = -calibration.threshold(self.fpr)
        note = calibration.note(fpr=self.fpr)
        if note is not None:
            warnings.warn(note, UserWarning, stacklevel=3)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _labels(decision: np.ndarray) -> np.ndarray:
    return np.where(decision < 0, -1, 1)
