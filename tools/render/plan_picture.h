// Makes a picture from a plan and the schedule that it is of.
//
//   TENURE_ASSIGN_OR_RETURN(std::string page, RenderHtml(PictureOfPlan(plan, schedule)));
//   TENURE_RETURN_IF_ERROR(WriteFile("plan.html", page));
//
// An item has the name of its storage, or its number, and is coloured by the step that writes it
// first. It lives as the plan says.
//
// Thread safety: a free function without state. Ownership: everything is copied. Errors: none here.
// A plan of another schedule gives wrong names; what does not fit into its arena is reported when
// the picture is rendered.

#ifndef TENURE_TOOLS_RENDER_PLAN_PICTURE_H_
#define TENURE_TOOLS_RENDER_PLAN_PICTURE_H_

#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/tools/render/render.h"

namespace tenure {

Picture PictureOfPlan(const Plan& plan, const Schedule& schedule);

}  // namespace tenure

#endif  // TENURE_TOOLS_RENDER_PLAN_PICTURE_H_
