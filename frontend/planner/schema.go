package planner

// PlanSchema is the version of a Plan's form in JSON, which docs/reference/plan.md describes. It goes up by one when a
// field is removed, or when its meaning changes.
const PlanSchema = 1
