package codec

// ConfirmSelect asks for publishes on the channel to be confirmed, RabbitMQ's extension.
type ConfirmSelect struct {
	NoWait bool
}

func (m *ConfirmSelect) walk(f fields) {
	f.bits(&m.NoWait)
}

// ConfirmSelectOk answers ConfirmSelect.
type ConfirmSelectOk struct{}

// TxSelect makes the channel transactional.
type TxSelect struct{}

// TxSelectOk answers TxSelect.
type TxSelectOk struct{}

// TxCommit makes what was published and acknowledged take effect.
type TxCommit struct{}

// TxCommitOk answers TxCommit.
type TxCommitOk struct{}

// TxRollback forgets what was published and acknowledged.
type TxRollback struct{}

// TxRollbackOk answers TxRollback.
type TxRollbackOk struct{}

func (*ConfirmSelectOk) walk(fields) {}
func (*TxSelect) walk(fields)        {}
func (*TxSelectOk) walk(fields)      {}
func (*TxCommit) walk(fields)        {}
func (*TxCommitOk) walk(fields)      {}
func (*TxRollback) walk(fields)      {}
func (*TxRollbackOk) walk(fields)    {}
