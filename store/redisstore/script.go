package redisstore

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts so
	_ "embed"
	"encoding/hex"
)

// script is a script in Lua, which Redis runs alone among all.
type script struct {
	name, source, sha string
}

//go:embed lua/common.lua
var prelude string

// allowOOM lets a script write though Redis has no memory left by its own setting: what
// ends a call is never refused for that.
const allowOOM = "#!lua flags=allow-oom\n"

func newScript(name, source string) *script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // Redis names scripts so
	return &script{name: name, source: source, sha: hex.EncodeToString(sum[:])}
}

var (
	//go:embed lua/open.lua
	openLua string
	//go:embed lua/get.lua
	getLua string
	//go:embed lua/claim.lua
	claimLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/complete.lua
	completeLua string
	//go:embed lua/abandon.lua
	abandonLua string
	//go:embed lua/bury.lua
	buryLua string
	//go:embed lua/held.lua
	heldLua string
	//go:embed lua/beat.lua
	beatLua string
	//go:embed lua/evicted.lua
	evictedLua string
	//go:embed lua/leave.lua
	leaveLua string

	openScript     = newScript("open", allowOOM+openLua)
	getScript      = newScript("get", prelude+getLua)
	claimScript    = newScript("claim", prelude+claimLua)
	renewScript    = newScript("renew", allowOOM+prelude+renewLua)
	completeScript = newScript("complete", allowOOM+prelude+completeLua)
	abandonScript  = newScript("abandon", allowOOM+prelude+abandonLua)
	buryScript     = newScript("bury", prelude+buryLua)
	heldScript     = newScript("wait", prelude+heldLua)
	beatScript     = newScript("beat", allowOOM+prelude+beatLua)
	evictedScript  = newScript("check", allowOOM+prelude+evictedLua)
	leaveScript    = newScript("close", allowOOM+prelude+leaveLua)
)
