package setting

// Level is how grave a finding is.
type Level string

const (
	LevelWarning Level = "warning" // works, and someone should look at it
	LevelError   Level = "error"   // refused
)
