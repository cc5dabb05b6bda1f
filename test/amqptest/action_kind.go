package amqptest

// actionKind says what an Action does. Its names are those of texts and plans.
type actionKind uint8

const (
	actionNone actionKind = iota
	actionDrop
	actionDelay
	actionDuplicate
	actionReorder
	actionSeverBefore
	actionSeverAfter
	actionNeverConfirm
	actionNack
	actionReturn
	actionCancelConsumer
	actionBlock
	actionStall
	actionHalfOpen
	actionCorrupt
	actionRestart
	actionCloseChannel
	actionCloseConnection
	actionDo
)

// arguments says what follows an action's name in a text.
type arguments uint8

const (
	argumentNone arguments = iota
	argumentDuration
	argumentMayBeDuration
	argumentCount
	argumentMayBeName
	argumentReply   // a code and a text
	argumentRestart // what is kept and how long the broker is away
	argumentFunction
)

type kindInfo struct {
	name      string
	arguments arguments
}

func (k actionKind) info() kindInfo {
	if int(k) >= len(actionKinds) {
		return kindInfo{}
	}
	return actionKinds[k]
}

var actionKinds = [...]kindInfo{
	actionDrop:            {"drop", argumentNone},
	actionDelay:           {"delay", argumentDuration},
	actionDuplicate:       {"duplicate", argumentCount},
	actionReorder:         {"reorder", argumentDuration},
	actionSeverBefore:     {"sever-before", argumentNone},
	actionSeverAfter:      {"sever-after", argumentNone},
	actionNeverConfirm:    {"never-confirm", argumentNone},
	actionNack:            {"nack", argumentNone},
	actionReturn:          {"return", argumentNone},
	actionCancelConsumer:  {"cancel-consumer", argumentMayBeName},
	actionBlock:           {"block", argumentMayBeDuration},
	actionStall:           {"stall", argumentMayBeDuration},
	actionHalfOpen:        {"half-open", argumentNone},
	actionCorrupt:         {"corrupt", argumentNone},
	actionRestart:         {"restart", argumentRestart},
	actionCloseChannel:    {"close-channel", argumentReply},
	actionCloseConnection: {"close-connection", argumentReply},
	actionDo:              {"do", argumentFunction},
}

// kindNamed returns the kind of that name, and actionNone if there is none.
func kindNamed(name string) actionKind {
	for kind, info := range actionKinds {
		if info.name == name {
			return actionKind(kind)
		}
	}
	return actionNone
}

// keepNames are those of texts.
var keepNames = []struct {
	keep Keep
	name string
}{
	{KeepMessages, "keep-messages"},
	{LoseMessages, "lose-messages"},
	{LoseAll, "lose-all"},
}

func keepName(k Keep) string {
	for _, n := range keepNames {
		if n.keep == k {
			return n.name
		}
	}
	return ""
}

func keepNamed(name string) (Keep, bool) {
	for _, n := range keepNames {
		if n.name == name {
			return n.keep, true
		}
	}
	return KeepMessages, false
}
