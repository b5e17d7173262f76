"""Worked problems in words, solved by a small set of formulas; what no formula understands is left unanswered."""
