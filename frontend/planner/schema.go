package planner

// PlanSchema is the version of a Plan's form in JSON, which docs/reference/plan.md describes. It is counted up when a field is
// taken away, or means something else.
const PlanSchema = 1
