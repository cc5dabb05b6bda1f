package archtest

// Third-party modules that rules name. A trailing /... also covers the packages below.
const (
	amqp      = "github.com/rabbitmq/amqp091-go"
	backoff   = "github.com/cenkalti/backoff/v4"
	bbolt     = "go.etcd.io/bbolt/..."
	gobreaker = "github.com/sony/gobreaker/v2"
	uuid      = "github.com/google/uuid"
)

// anything, in a rule, stands for every package there is.
const anything = "*"

// rule says what the non-test files of some packages may import besides the standard library.
type rule struct {
	// packages are folders relative to the root, "." being the root package. In all patterns of a rule `*`
	// matches within one path element, and a trailing /... covers the folder and all below it.
	packages []string
	// own are the packages of this project, external those of others.
	own, external []string
	reason        string
}

// importRules is the table of who may import whom. The first rule that matches a package is the package's rule;
// a package without one fails the test, so that a new package is placed on purpose.
var importRules = []rule{
	{
		packages: []string{"cmd/...", "test/..."},
		own:      []string{anything},
		external: []string{anything},
		reason:   "the tool and the test kit stand on top of everything, and nothing stands on them",
	},
	{
		packages: []string{"."},
		reason:   "the vocabulary that both sides share costs an importer nothing but the standard library",
	},
	{
		packages: []string{"internal/lifecycle"},
		reason:   "starting and stopping knows nothing of what is started and stopped",
	},
	{
		packages: []string{"internal/lifecycle/*test"},
		own:      []string{"internal/lifecycle"},
		reason:   "the shared stress test judges the start/stop contract and nothing else",
	},
	{
		packages: []string{"internal/archtest"},
		reason:   "this test reads source text and links none of what it judges",
	},
	{
		packages: []string{"internal/printable"},
		reason:   "whatever prints what others wrote may use it",
	},
	{
		packages: []string{"internal/crashpoint"},
		reason:   "a nil hook on the hot path, so next to nothing may hang on it",
	},
	{
		packages: []string{"internal/amqp/codec"},
		reason:   "the format of AMQP's frames, for the broker in memory and for what stands beneath the AMQP library",
	},
	{
		packages: []string{"internal/amqp/frames"},
		own:      []string{"internal/amqp/codec"},
		external: []string{amqp},
		reason:   "reads and writes frames beneath the AMQP library, whose structs it fills, and knows nothing of what they mean",
	},
	{
		packages: []string{"internal/wire"},
		own:      []string{"."},
		external: []string{amqp},
		reason:   "translates between the vocabulary and AMQP, without a connection or a policy",
	},
	{
		packages: []string{"internal/broker"},
		own:      []string{".", "internal/policy", "internal/lifecycle", "internal/amqp/*"},
		external: []string{amqp, uuid},
		reason:   "moves messages whose meaning is internal/wire's business; internal/policy is there for its backoff",
	},
	{
		packages: []string{"internal/setting"},
		reason:   "names, kinds and bounds of settings, for structs and files alike",
	},
	{
		packages: []string{"internal/policy"},
		own:      []string{".", "internal/setting"},
		external: []string{backoff, gobreaker},
		reason:   "pure policy: no AMQP and no clock, so that it can be simulated and tested without a broker",
	},
	{
		packages: []string{"internal/callstate"},
		own:      []string{".", "internal/policy"},
		external: []string{backoff, gobreaker},
		reason:   "one call as a state machine: no lock, no clock, no I/O, so that client and simulation share it",
	},
	{
		packages: []string{"reliability"},
		own:      []string{".", "internal/policy", "internal/setting"},
		external: []string{backoff, gobreaker},
		reason:   "what authors of policies write, and policies for functions of their own; internal/policy does the work",
	},
	{
		packages: []string{"internal/configfile", "internal/configfile/schemacheck"},
		own:      []string{"internal/setting"},
		external: []string{"go.yaml.in/yaml/*"},
		reason:   "the one engine for files of settings; what settings are is internal/setting's business",
	},
	{
		packages: []string{"reliability/policyfile"},
		own:      []string{".", "reliability", "internal/configfile", "internal/policy", "internal/setting"},
		external: []string{"go.yaml.in/yaml/*", "gopkg.in/yaml.v3", "github.com/goccy/go-yaml"},
		reason:   "a YAML parser is linked only by programs that read policies from a file",
	},
	{
		packages: []string{"reliability/simulate"},
		own:      []string{".", "reliability", "internal/policy", "internal/callstate"},
		reason:   "a simulation runs the policy itself on virtual time, and models all else",
	},
	{
		packages: []string{"store"},
		own:      []string{"."},
		reason:   "an interface, its records and its errors; databases belong to the stores below it",
	},
	{
		packages: []string{"store/boltstore"},
		own:      []string{"store", "store/boltstore/internal/*", "internal/lifecycle"},
		external: []string{bbolt},
		reason:   "the only package that links the embedded database, with its journal",
	},
	{
		packages: []string{"store/boltstore/internal/*"},
		own:      []string{"store", "store/boltstore/internal/*"},
		external: []string{bbolt},
		reason:   "parts of boltstore that know the database and the records, and nothing of a store",
	},
	{
		packages: []string{"store/memstore", "store/storetest"},
		own:      []string{"store", "internal/lifecycle"},
		reason:   "a store in memory and the suite that judges every store need no database",
	},
	{
		packages: []string{"client"},
		own:      []string{".", "reliability", "internal/*"},
		external: []string{uuid},
		reason:   "the two sides share the wire and no code: client never imports server",
	},
	{
		packages: []string{"client/gateway"},
		own:      []string{".", "client"},
		reason:   "an HTTP front end has no more rights than any other user of the client",
	},
	{
		packages: []string{"client/gateway/gatewayfile"},
		own:      []string{".", "client/gateway", "internal/configfile", "internal/setting"},
		external: []string{"go.yaml.in/yaml/*"},
		reason:   "a YAML parser is linked only by programs that read routes from a file",
	},
	{
		packages: []string{"server"},
		own:      []string{".", "reliability", "store", "internal/*"},
		external: []string{uuid},
		reason:   "the two sides share the wire and no code: server never imports client",
	},
}

// nestedRule is the rule of the packages in modules of their own below the root (database stores, telemetry) that
// have none in the table. They may import the other packages of their module as well.
var nestedRule = rule{
	own: []string{
		".", "client", "client/gateway", "client/gateway/gatewayfile", "server", "store", "reliability", "reliability/policyfile",
		"internal/lifecycle",
	},
	external: []string{anything},
	reason:   "a nested module brings its own drivers and builds on the libraries, never on cmd or test",
}

// nestedOnly are the dependencies that must stay out of the core's go.mod, and so out of all its files, test
// files included.
var nestedOnly = []string{
	"go.opentelemetry.io/...",
	"github.com/prometheus/...",
	"github.com/jackc/...",
	"github.com/redis/...",
	"google.golang.org/protobuf/...",
	"google.golang.org/grpc/...",
}

// mayImportTesting lists the packages whose non-test files may import testing: it registers flags and drags the
// test runner into every program that links it.
var mayImportTesting = []string{"test/...", "store/storetest", "internal/lifecycle/*test"}

// mayExportAMQP lists the packages whose exported signatures may name the driver's types. All others are what
// users compile against, and must survive a change of driver.
var mayExportAMQP = []string{"internal/...", "cmd/...", "test/..."}

// A non-test file longer than maxLines hides a second concept, or says near its top why it does not.
const (
	maxLines      = 400
	topLines      = 20
	longFileWords = "// This file is long because"
)
