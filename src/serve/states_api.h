// States as things that clients can have: what only a recurrent model can offer.
//
//   GET    /v1/states                    the newest first; ?limit=N
//   GET    /v1/states/{id}               one, with all messages up to it
//   GET    /v1/states/{id}/export        its state file, for linnet's --state-in (nn/state_file.h)
//   POST   /v1/states/import             a state file becomes a state; ?title=...&session=...
//   POST   /v1/states/{id}/fork          another state that stands at the same place: {"title", "session"}
//   POST   /v1/states/{id}/rollback      the state of some turns before: {"turns": 1}
//   DELETE /v1/states/{id}
//
// {id} may also be the name of a session: then it is the state where that stands, a rollback moves the
// session there, and DELETE removes the session and its turns. Every client sees its own states alone.
#pragma once

#include <vector>

#include "serve/conversations.h"

namespace linnet {

/// Both must outlive the routes. States are of the engine's model.
std::vector<HttpRoute> StatesRoutes(const Served& served, Conversations& conversations);

}  // namespace linnet
