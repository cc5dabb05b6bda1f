//nolint:revive // ID and Name are described by Method, once for all.
package codec

// methods makes an empty method of each kind.
var methods = []func() Method{
	func() Method { return new(ConnectionStart) },
	func() Method { return new(ConnectionStartOk) },
	func() Method { return new(ConnectionSecure) },
	func() Method { return new(ConnectionSecureOk) },
	func() Method { return new(ConnectionTune) },
	func() Method { return new(ConnectionTuneOk) },
	func() Method { return new(ConnectionOpen) },
	func() Method { return new(ConnectionOpenOk) },
	func() Method { return new(ConnectionClose) },
	func() Method { return new(ConnectionCloseOk) },
	func() Method { return new(ConnectionBlocked) },
	func() Method { return new(ConnectionUnblocked) },
	func() Method { return new(ConnectionUpdateSecret) },
	func() Method { return new(ConnectionUpdateSecretOk) },
	func() Method { return new(ChannelOpen) },
	func() Method { return new(ChannelOpenOk) },
	func() Method { return new(ChannelFlow) },
	func() Method { return new(ChannelFlowOk) },
	func() Method { return new(ChannelClose) },
	func() Method { return new(ChannelCloseOk) },
	func() Method { return new(ExchangeDeclare) },
	func() Method { return new(ExchangeDeclareOk) },
	func() Method { return new(ExchangeDelete) },
	func() Method { return new(ExchangeDeleteOk) },
	func() Method { return new(ExchangeBind) },
	func() Method { return new(ExchangeBindOk) },
	func() Method { return new(ExchangeUnbind) },
	func() Method { return new(ExchangeUnbindOk) },
	func() Method { return new(QueueDeclare) },
	func() Method { return new(QueueDeclareOk) },
	func() Method { return new(QueueBind) },
	func() Method { return new(QueueBindOk) },
	func() Method { return new(QueuePurge) },
	func() Method { return new(QueuePurgeOk) },
	func() Method { return new(QueueDelete) },
	func() Method { return new(QueueDeleteOk) },
	func() Method { return new(QueueUnbind) },
	func() Method { return new(QueueUnbindOk) },
	func() Method { return new(BasicQos) },
	func() Method { return new(BasicQosOk) },
	func() Method { return new(BasicConsume) },
	func() Method { return new(BasicConsumeOk) },
	func() Method { return new(BasicCancel) },
	func() Method { return new(BasicCancelOk) },
	func() Method { return new(BasicPublish) },
	func() Method { return new(BasicReturn) },
	func() Method { return new(BasicDeliver) },
	func() Method { return new(BasicGet) },
	func() Method { return new(BasicGetOk) },
	func() Method { return new(BasicGetEmpty) },
	func() Method { return new(BasicAck) },
	func() Method { return new(BasicReject) },
	func() Method { return new(BasicRecoverAsync) },
	func() Method { return new(BasicRecover) },
	func() Method { return new(BasicRecoverOk) },
	func() Method { return new(BasicNack) },
	func() Method { return new(ConfirmSelect) },
	func() Method { return new(ConfirmSelectOk) },
	func() Method { return new(TxSelect) },
	func() Method { return new(TxSelectOk) },
	func() Method { return new(TxCommit) },
	func() Method { return new(TxCommitOk) },
	func() Method { return new(TxRollback) },
	func() Method { return new(TxRollbackOk) },
}

func (*ConnectionStart) ID() (class, method uint16)          { return 10, 10 }
func (*ConnectionStartOk) ID() (class, method uint16)        { return 10, 11 }
func (*ConnectionSecure) ID() (class, method uint16)         { return 10, 20 }
func (*ConnectionSecureOk) ID() (class, method uint16)       { return 10, 21 }
func (*ConnectionTune) ID() (class, method uint16)           { return 10, 30 }
func (*ConnectionTuneOk) ID() (class, method uint16)         { return 10, 31 }
func (*ConnectionOpen) ID() (class, method uint16)           { return 10, 40 }
func (*ConnectionOpenOk) ID() (class, method uint16)         { return 10, 41 }
func (*ConnectionClose) ID() (class, method uint16)          { return 10, 50 }
func (*ConnectionCloseOk) ID() (class, method uint16)        { return 10, 51 }
func (*ConnectionBlocked) ID() (class, method uint16)        { return 10, 60 }
func (*ConnectionUnblocked) ID() (class, method uint16)      { return 10, 61 }
func (*ConnectionUpdateSecret) ID() (class, method uint16)   { return 10, 70 }
func (*ConnectionUpdateSecretOk) ID() (class, method uint16) { return 10, 71 }

func (*ChannelOpen) ID() (class, method uint16)    { return 20, 10 }
func (*ChannelOpenOk) ID() (class, method uint16)  { return 20, 11 }
func (*ChannelFlow) ID() (class, method uint16)    { return 20, 20 }
func (*ChannelFlowOk) ID() (class, method uint16)  { return 20, 21 }
func (*ChannelClose) ID() (class, method uint16)   { return 20, 40 }
func (*ChannelCloseOk) ID() (class, method uint16) { return 20, 41 }

func (*ExchangeDeclare) ID() (class, method uint16)   { return 40, 10 }
func (*ExchangeDeclareOk) ID() (class, method uint16) { return 40, 11 }
func (*ExchangeDelete) ID() (class, method uint16)    { return 40, 20 }
func (*ExchangeDeleteOk) ID() (class, method uint16)  { return 40, 21 }
func (*ExchangeBind) ID() (class, method uint16)      { return 40, 30 }
func (*ExchangeBindOk) ID() (class, method uint16)    { return 40, 31 }
func (*ExchangeUnbind) ID() (class, method uint16)    { return 40, 40 }
func (*ExchangeUnbindOk) ID() (class, method uint16)  { return 40, 51 }

func (*QueueDeclare) ID() (class, method uint16)   { return 50, 10 }
func (*QueueDeclareOk) ID() (class, method uint16) { return 50, 11 }
func (*QueueBind) ID() (class, method uint16)      { return 50, 20 }
func (*QueueBindOk) ID() (class, method uint16)    { return 50, 21 }
func (*QueuePurge) ID() (class, method uint16)     { return 50, 30 }
func (*QueuePurgeOk) ID() (class, method uint16)   { return 50, 31 }
func (*QueueDelete) ID() (class, method uint16)    { return 50, 40 }
func (*QueueDeleteOk) ID() (class, method uint16)  { return 50, 41 }
func (*QueueUnbind) ID() (class, method uint16)    { return 50, 50 }
func (*QueueUnbindOk) ID() (class, method uint16)  { return 50, 51 }

func (*BasicQos) ID() (class, method uint16)          { return 60, 10 }
func (*BasicQosOk) ID() (class, method uint16)        { return 60, 11 }
func (*BasicConsume) ID() (class, method uint16)      { return 60, 20 }
func (*BasicConsumeOk) ID() (class, method uint16)    { return 60, 21 }
func (*BasicCancel) ID() (class, method uint16)       { return 60, 30 }
func (*BasicCancelOk) ID() (class, method uint16)     { return 60, 31 }
func (*BasicPublish) ID() (class, method uint16)      { return 60, 40 }
func (*BasicReturn) ID() (class, method uint16)       { return 60, 50 }
func (*BasicDeliver) ID() (class, method uint16)      { return 60, 60 }
func (*BasicGet) ID() (class, method uint16)          { return 60, 70 }
func (*BasicGetOk) ID() (class, method uint16)        { return 60, 71 }
func (*BasicGetEmpty) ID() (class, method uint16)     { return 60, 72 }
func (*BasicAck) ID() (class, method uint16)          { return 60, 80 }
func (*BasicReject) ID() (class, method uint16)       { return 60, 90 }
func (*BasicRecoverAsync) ID() (class, method uint16) { return 60, 100 }
func (*BasicRecover) ID() (class, method uint16)      { return 60, 110 }
func (*BasicRecoverOk) ID() (class, method uint16)    { return 60, 111 }
func (*BasicNack) ID() (class, method uint16)         { return 60, 120 }

func (*ConfirmSelect) ID() (class, method uint16)   { return 85, 10 }
func (*ConfirmSelectOk) ID() (class, method uint16) { return 85, 11 }

func (*TxSelect) ID() (class, method uint16)     { return 90, 10 }
func (*TxSelectOk) ID() (class, method uint16)   { return 90, 11 }
func (*TxCommit) ID() (class, method uint16)     { return 90, 20 }
func (*TxCommitOk) ID() (class, method uint16)   { return 90, 21 }
func (*TxRollback) ID() (class, method uint16)   { return 90, 30 }
func (*TxRollbackOk) ID() (class, method uint16) { return 90, 31 }

func (*ConnectionStart) Name() string          { return "connection.start" }
func (*ConnectionStartOk) Name() string        { return "connection.start-ok" }
func (*ConnectionSecure) Name() string         { return "connection.secure" }
func (*ConnectionSecureOk) Name() string       { return "connection.secure-ok" }
func (*ConnectionTune) Name() string           { return "connection.tune" }
func (*ConnectionTuneOk) Name() string         { return "connection.tune-ok" }
func (*ConnectionOpen) Name() string           { return "connection.open" }
func (*ConnectionOpenOk) Name() string         { return "connection.open-ok" }
func (*ConnectionClose) Name() string          { return "connection.close" }
func (*ConnectionCloseOk) Name() string        { return "connection.close-ok" }
func (*ConnectionBlocked) Name() string        { return "connection.blocked" }
func (*ConnectionUnblocked) Name() string      { return "connection.unblocked" }
func (*ConnectionUpdateSecret) Name() string   { return "connection.update-secret" }
func (*ConnectionUpdateSecretOk) Name() string { return "connection.update-secret-ok" }

func (*ChannelOpen) Name() string    { return "channel.open" }
func (*ChannelOpenOk) Name() string  { return "channel.open-ok" }
func (*ChannelFlow) Name() string    { return "channel.flow" }
func (*ChannelFlowOk) Name() string  { return "channel.flow-ok" }
func (*ChannelClose) Name() string   { return "channel.close" }
func (*ChannelCloseOk) Name() string { return "channel.close-ok" }

func (*ExchangeDeclare) Name() string   { return "exchange.declare" }
func (*ExchangeDeclareOk) Name() string { return "exchange.declare-ok" }
func (*ExchangeDelete) Name() string    { return "exchange.delete" }
func (*ExchangeDeleteOk) Name() string  { return "exchange.delete-ok" }
func (*ExchangeBind) Name() string      { return "exchange.bind" }
func (*ExchangeBindOk) Name() string    { return "exchange.bind-ok" }
func (*ExchangeUnbind) Name() string    { return "exchange.unbind" }
func (*ExchangeUnbindOk) Name() string  { return "exchange.unbind-ok" }

func (*QueueDeclare) Name() string   { return "queue.declare" }
func (*QueueDeclareOk) Name() string { return "queue.declare-ok" }
func (*QueueBind) Name() string      { return "queue.bind" }
func (*QueueBindOk) Name() string    { return "queue.bind-ok" }
func (*QueuePurge) Name() string     { return "queue.purge" }
func (*QueuePurgeOk) Name() string   { return "queue.purge-ok" }
func (*QueueDelete) Name() string    { return "queue.delete" }
func (*QueueDeleteOk) Name() string  { return "queue.delete-ok" }
func (*QueueUnbind) Name() string    { return "queue.unbind" }
func (*QueueUnbindOk) Name() string  { return "queue.unbind-ok" }

func (*BasicQos) Name() string          { return "basic.qos" }
func (*BasicQosOk) Name() string        { return "basic.qos-ok" }
func (*BasicConsume) Name() string      { return "basic.consume" }
func (*BasicConsumeOk) Name() string    { return "basic.consume-ok" }
func (*BasicCancel) Name() string       { return "basic.cancel" }
func (*BasicCancelOk) Name() string     { return "basic.cancel-ok" }
func (*BasicPublish) Name() string      { return "basic.publish" }
func (*BasicReturn) Name() string       { return "basic.return" }
func (*BasicDeliver) Name() string      { return "basic.deliver" }
func (*BasicGet) Name() string          { return "basic.get" }
func (*BasicGetOk) Name() string        { return "basic.get-ok" }
func (*BasicGetEmpty) Name() string     { return "basic.get-empty" }
func (*BasicAck) Name() string          { return "basic.ack" }
func (*BasicReject) Name() string       { return "basic.reject" }
func (*BasicRecoverAsync) Name() string { return "basic.recover-async" }
func (*BasicRecover) Name() string      { return "basic.recover" }
func (*BasicRecoverOk) Name() string    { return "basic.recover-ok" }
func (*BasicNack) Name() string         { return "basic.nack" }

func (*ConfirmSelect) Name() string   { return "confirm.select" }
func (*ConfirmSelectOk) Name() string { return "confirm.select-ok" }

func (*TxSelect) Name() string     { return "tx.select" }
func (*TxSelectOk) Name() string   { return "tx.select-ok" }
func (*TxCommit) Name() string     { return "tx.commit" }
func (*TxCommitOk) Name() string   { return "tx.commit-ok" }
func (*TxRollback) Name() string   { return "tx.rollback" }
func (*TxRollbackOk) Name() string { return "tx.rollback-ok" }
