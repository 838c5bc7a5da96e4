"""Models: what they hold, explain and are compared by; the registry; gates; predictors of other libraries."""
