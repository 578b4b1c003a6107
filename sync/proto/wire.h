/* SPDX-License-Identifier: MIT */
/*
 * wire: names, limits and error codes of the protocol, version 1 (HTTP/1.1, JSON).
 *
 * Every request bears "Authorization: Bearer TOKEN" (not /healthz). Paths in JSON are
 * percent-encoded (sync/common/path.h), hashes are "s2-<64 hex>", times are integers in
 * nanoseconds since the epoch, of files modulo 2^64 (sync/common/file.h), modes are permission bits
 * (07777) as integers, seqs are integers. Every refusal has the body
 * {"code":"<WIRE_E_*>","error":"<sentence>"}.
 *
 *   GET /v1/hello → {"protocol":1,"version":"0.1.0","master_id":"<hex>","timeline":"<hex>",
 *       "head":N,"name":"slave1","scopegen":N,"read":[paths],"write":[paths],"deny":[paths],
 *       "exclude":[patterns],"volumes":[paths],"max_inline":N,"max_ops":N,"max_body":N,
 *       "folder_times":true,"epoch":N,"time":ns}
 *     epoch: moves on with each start of the master and each hour, in the folder; one that is lower
 *     than before is that of a folder that was put back;
 *     folder_times: a folder's entry comes again whenever its mtime is another (an older master has
 *     the first one for ever);
 *     volumes: where other filesystems are mounted on the master, as far as the mirror sees that, also
 *     while they are not: there a folder's rename ends (not told by an older master, which refuses
 *     such a rename with WIRE_R_VOLUME). A change raises scopegen;
 *     read [] means everything; deny holds other mirrors' slots; see scope.h.
 *
 *   GET /v1/changes?since=CURSOR&limit=N&wait=S&inline=BYTES → application/x-ndjson:
 *       lines of entries (entry.h), then exactly one last line:
 *         {"more":"CURSOR"}     page full: ask again with since=that; nothing may be applied yet
 *         {"commit":"CURSOR"}   everything since the first page is complete as of that cursor
 *     Without `since` (or since="") the whole tree is listed ("full" cursor while paging; see
 *     cursor.h). With wait>0 and nothing new the answer is delayed up to S (max WIRE_WAIT_MAX)
 *     seconds and then is a commit line with the cursor unchanged in meaning. An answer that would
 *     have nothing but what this mirror itself asked for (it knows that from the answers to its
 *     operations) is delayed a moment for more, and bears no contents.
 *     409 WIRE_E_RESET: the cursor is unknown or stale: list again. When the master does not know its
 *     seq, because it was put back to an earlier state, the answer has
 *       "timelines":[["<hex>",last seq],…]   the newest that it knows: the mirror's own ones among
 *                                            them say how far both know the same
 *       "epoch":N                            as in hello
 *       "put_back":seq                       the folder was put back then, and not the database.
 *     Entries whose content is at
 *     most `inline` (max WIRE_INLINE_MAX) bytes may carry it as "data" (base64).
 *     The feed is consistent at its commit line: a page set goes on until it has caught up with
 *     the head, so a path that changed while paging is delivered again with its newer seq.
 *
 *   GET /v1/o/HASH → 200 or 206 (one Range), ETag "HASH", Accept-Ranges: bytes, immutable.
 *     404 WIRE_E_GONE (no-store): no path in scope has it (any more): wait for the feed.
 *
 *   PUT /v1/o/HASH?outbox=ID → upload. Header "Content-Range: bytes A-B/TOTAL" to resume at A;
 *     without it the whole body is the content.
 *     200 {"have":TOTAL}                    complete and verified
 *     422 WIRE_E_DIGEST                     the bytes have another hash (thrown away)
 *     409 WIRE_E_OFFSET {"have":N}          resume at N
 *
 *   HEAD /v1/o/HASH with "X-Eefs-Upload: 1"
 *     X-Eefs-Have: N                        bytes staged so far
 *     X-Eefs-Complete: 1                    they are all there and verified (0 with all of them: the
 *                                           master died before it looked)
 *
 *   POST /v1/ops {"outbox":"<hex>","ops":[op,…]} → {"answers":[answer,…],"head":N}   (op.h)
 *     in order; stops after the first op that cannot be answered now or is refused (fewer answers
 *     than ops): the mirror knows what depends on it.
 *     A known counter with the same digest gets its old answer again; with another digest the
 *     request is refused with 409 WIRE_E_CLONED.
 *
 *   POST /v1/state  {"state":"OK","reason":"","lag_ms":N,"pending":N,"conflicts":N,"cursor":"…",
 *       "version":"…","imports":[…],"machine":"…"} → {"ok":true}
 *     machine: tells the machines apart that use a token, as "<boot id>:<host name>". When two take
 *     turns the answer has "twin": the host name and address of the other one.
 *   POST /v1/lost  {"set":"<hex>","after":N,"rows":[{"n","path","type","size","mtime","mode","hash"?,
 *       "target"?,"seq","own","here"},…],"forgotten":[n,…],"lacks":[hash,…]} →
 *       {"have":N,"done":[n,…],"want":[hash,…],"rest":bool}
 *     what a mirror knows from a time that the master has lost: at most WIRE_LOST_MAX rows, by
 *     ascending numbers, of the mirror's database `set`. type: 1 file, 2 folder, 3 link, 0: deleted
 *     then (mode: its type). own: this mirror made it. here: the mirror has the content. The master
 *     has the rows up to `have`, and takes rows only when that is their `after`; those in `done` are
 *     settled, and come back as forgotten; the contents in `want` are to be uploaded, or come back
 *     as lacks when the mirror does not have them; rest: it needs nothing of mirrors that have no
 *     such rows. Reporting changes nothing in the tree: only `eefs-master recover` does.
 *   GET /v1/mirrors → {"mirrors":[{"name","state","reason","seen_ms_ago","lag_ms","pending",…}]}
 *   GET /healthz → 200 {"state":"OK"} or 503; no token needed, says nothing else.
 */
#ifndef EEFS_PROTO_WIRE_H
#define EEFS_PROTO_WIRE_H

#define WIRE_PROTOCOL 1

#define WIRE_HELLO   "/v1/hello"
#define WIRE_CHANGES "/v1/changes"
#define WIRE_OBJECT  "/v1/o/" /* + hash */
#define WIRE_OPS     "/v1/ops"
#define WIRE_STATE   "/v1/state"
#define WIRE_LOST    "/v1/lost"
#define WIRE_MIRRORS "/v1/mirrors"
#define WIRE_HEALTHZ "/healthz"

#define WIRE_WAIT_MAX   55                /* seconds; below common 60 s proxy timeouts */
#define WIRE_INLINE_MAX (64 * 1024)       /* bytes of one inline content, both directions */
#define WIRE_PAGE_MAX   5000              /* entries in one page */
#define WIRE_OPS_MAX    500               /* operations in one request */
#define WIRE_LOST_MAX   500               /* rows in one report */
#define WIRE_BODY_MAX   (8 * 1024 * 1024) /* bytes of a JSON request body */
#define WIRE_LINE_BASE  (48 * 1024)       /* bytes of one NDJSON line without its inline content */
#define WIRE_LINE_MAX   (256 * 1024)      /* the same with the largest */
#define WIRE_TREE_MAX   10000000          /* paths in one tree */

/*
 * What all sides can hold, the databases and filesystems too; each checks it at its door. Paths and
 * names: EEFS_PATH_MAX and EEFS_NAME_MAX (sync/common/path.h). A link's target: Linux takes as
 * much.
 */
#define WIRE_TARGET_MAX 4095
#define WIRE_PLACE_MAX  16384 /* a file name of the master's outside the tree */

/* Error codes: machine-readable, stable. */
#define WIRE_E_UNAUTHORIZED "unauthorized" /* 401: no or unknown token */
#define WIRE_E_BAD_REQUEST  "bad_request"  /* 400 */
#define WIRE_E_NOT_FOUND    "not_found"    /* 404: no such route */
#define WIRE_E_GONE         "gone"         /* 404: content superseded or outside the scope */
#define WIRE_E_RESET        "reset"        /* 409: cursor unknown or stale */
#define WIRE_E_OFFSET       "offset"       /* 409: upload resumes elsewhere */
#define WIRE_E_CLONED       "cloned"       /* 409: counter reused with another operation */
#define WIRE_E_DIGEST       "digest"       /* 422: content does not match its name */
#define WIRE_E_IO           "io"           /* 422: cannot be stored */
#define WIRE_E_TOO_LARGE    "too_large"    /* 413 */
#define WIRE_E_NO_SPACE     "no_space"     /* 507 */
#define WIRE_E_UNAVAILABLE  "unavailable"  /* 503: root missing, first scan running, stopping */

/*
 * Codes of operations that are refused or put off (op.h); both sides' databases keep them. Besides
 * these: WIRE_E_NO_SPACE, WIRE_E_TOO_LARGE, WIRE_E_DIGEST, WIRE_E_IO, WIRE_E_UNAVAILABLE.
 */
#define WIRE_R_SCOPE        "scope"      /* outside what the mirror may change */
#define WIRE_R_NAME         "name"       /* the master cannot hold that name */
#define WIRE_R_TYPE         "type"       /* another type is in the way, or none such can be held */
#define WIRE_R_NOT_EMPTY    "not_empty"  /* rmdir of a folder that has entries */
#define WIRE_R_CONFLICT     "conflict"   /* no place for the conflict copy */
#define WIRE_R_PERMISSION   "permission" /* the master's filesystem forbids it */
#define WIRE_R_VOLUME       "volume"     /* filesystems below the folder: crossed, or away */
#define WIRE_R_NEED_CONTENT "need_content" /* later: the content is not uploaded */
#define WIRE_R_BUSY         "busy"         /* later: being written on the master */
#define WIRE_R_CONTENT      "content"      /* by the mirror itself: it lost the content */

#endif
