"""What a run will need before it is run: pure arithmetic on metadata, samples, measured rates and prices."""

from segclr.plan.content import BlockSample, Content, assumed_content, sampled_content
from segclr.plan.cost import cost_rows, not_counted
from segclr.plan.extent import Extent, Reading, cube_margins
from segclr.plan.range import Range
from segclr.plan.rates import EncoderRate, MeasuredRates, Rate, Rates, load_rates
from segclr.plan.row import Row
from segclr.plan.suggest import Suggestion, suggest

__all__ = [
    "BlockSample",
    "Content",
    "EncoderRate",
    "Extent",
    "MeasuredRates",
    "Range",
    "Rate",
    "Rates",
    "Reading",
    "Row",
    "Suggestion",
    "assumed_content",
    "cost_rows",
    "cube_margins",
    "load_rates",
    "not_counted",
    "sampled_content",
    "suggest",
]
