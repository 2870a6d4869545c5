"""Predictors: where glucose goes in the next hour. Each is a fold of one person's readings and entries behind the
protocol in `protocol`.

`registry` names them. One is live; the others are shadows, whose curves are recorded and scored but never alert. A
learned predictor goes here too, as one more module and one more line in the registry.
"""
