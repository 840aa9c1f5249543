"""What a run will need before it is run: pure arithmetic on metadata, samples, measured rates and prices."""

from segclr.plan.content import BlockSample, Content, assumed_content, sampled_content
from segclr.plan.cost import NOT_COUNTED, Row, cost_rows
from segclr.plan.extent import Extent, Reading, cube_margins
from segclr.plan.range import Range
from segclr.plan.rates import EncoderRate, MeasuredRates, Rate, Rates, load_rates

__all__ = [
    "NOT_COUNTED",
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
    "assumed_content",
    "cost_rows",
    "cube_margins",
    "load_rates",
    "sampled_content",
]
