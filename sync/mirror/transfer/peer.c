/* SPDX-License-Identifier: MIT */
#include "sync/mirror/transfer/peer.h"

#include "sync/common/ctl.h"
#include "sync/mirror/transfer/context.h"

bool peer_sees(struct mirror *m, struct ctl_conn *conn, const char *path)
{
    const struct ctl_peer *who = ctl_conn_peer(conn);

    return who->trusted || (m->cfg.shows && m->cfg.shows(m->cfg.shows_arg, who, path));
}

bool peer_removes(struct mirror *m, struct ctl_conn *conn, const char *path)
{
    const struct ctl_peer *who = ctl_conn_peer(conn);

    return who->trusted || (m->cfg.removes && m->cfg.removes(m->cfg.shows_arg, who, path));
}
