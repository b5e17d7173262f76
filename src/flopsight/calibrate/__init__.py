"""From measurements to coefficients: physics gates, fits, and what they miss on the points left out."""
