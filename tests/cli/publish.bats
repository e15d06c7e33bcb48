#!/usr/bin/env bats
# Issues and pull requests, sent to the rehearsal hub (tests/hub).
load common

setup() { project; unset GH_TOKEN HF_TOKEN GITHUB_TOKEN GITHUB_API_URL; export GH_CONFIG_DIR=$BATS_TEST_TMPDIR/gh; }
publish() { /usr/bin/python3 "$BATS_TEST_DIRNAME/publish.py" "$ONBOARD_BUILD" "$@"; }

@test "sent once, found again, brought up to date, checked" { publish fresh; }
@test "tokens go to their server alone, and into no output, file or process list" { publish tokens; }
@test "simulated, unlogged, failing or lacking: held with the reason" { publish held; }
@test "without credentials: bodies, diffs and commands" { publish by_hand; }
@test "a pull of SGLang is waited for until it is merged" { publish merge; }
@test "kill -9 at random moments: one of each in the end" { publish kill 7 12; }
@test "each request refused or cut" { publish faults refuse,cut; }
@test "each request met with 401, 403, 404" { publish faults 401,403,404; }
@test "each request met with 409, 413, 422" { publish faults 409,413,422; }
@test "each request met with 429 and Retry-After" { publish faults 429; }
@test "each request met with 500, 502, or done and then 500" { publish faults 500,502,500after; }
@test "each request redirected elsewhere, or answered with what is no JSON" { publish faults redirect,badjson; }
@test "answers that trickle" { publish slow; }
