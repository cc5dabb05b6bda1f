package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// library is an AMQP library of another language. The programs that use it are
// in the folder of its name in peers/.
type library struct {
	name     string
	language string
	// install is the command that gets it, in the repository's root.
	install string
	// find looks for it on this machine, once.
	find func() (installed, error)
}

// installed is a library as this machine has it.
type installed struct {
	version string
	// command runs one of its programs, "client" for example.
	command func(program string) []string
}

// These are the peers of the tests.
var (
	amqp091Go = &library{name: "amqp091-go", language: "Go", find: sync.OnceValues(findGo)}
	pika      = &library{
		name: "pika", language: "Python", install: debian("python3-pika"),
		find: interpreted("peers/pika", ".py", candidates("python3"), "-c", "import pika; print(pika.__version__)"),
	}
	amqplib = &library{
		name: "amqplib", language: "Node.js", install: debian("nodejs npm") + " && (cd test/interop && npm ci)",
		find: interpreted("peers/amqplib", ".js", candidates("node"), "-p",
			"require('amqplib'), require('./node_modules/amqplib/package.json').version"),
	}
	bunny = &library{
		name: "bunny", language: "Ruby", install: debian("ruby-bunny"),
		find: interpreted("peers/bunny", ".rb", candidates("ruby"), "-e", "require 'bunny'; puts Bunny::VERSION"),
	}
	phpAmqplib = &library{
		name: "php-amqplib", language: "PHP", install: debian("php-cli php-amqplib"),
		find: interpreted("peers/php-amqplib", ".php", candidates("php"),
			"-r", "require 'PhpAmqpLib/autoload.php'; echo PhpAmqpLib\\Package::VERSION;"),
	}
	anyEventRabbitMQ = &library{
		name: "anyevent-rabbitmq", language: "Perl", install: debian("libanyevent-rabbitmq-perl"),
		find: interpreted("peers/anyevent-rabbitmq", ".pl", candidates("perl"),
			"-MAnyEvent::RabbitMQ", "-e", "print $AnyEvent::RabbitMQ::VERSION"),
	}
	librabbitmq = &library{
		name: "librabbitmq", language: "C", install: debian("gcc libc6-dev librabbitmq-dev"), find: sync.OnceValues(compileC),
	}
	amqpTools  = &library{name: "amqp-tools", language: "shell", install: debian("amqp-tools"), find: sync.OnceValues(findTools)}
	amqpClient = &library{
		name: "amqp_client", language: "Erlang", install: debian("rabbitmq-server erlang-base"), find: sync.OnceValues(compileErlang),
	}
)

// libraries are those that call and serve in processes of their own.
func libraries() []*library {
	return append(detailed(), bunny, phpAmqplib, anyEventRabbitMQ, librabbitmq, amqpClient)
}

// detailed are those of the libraries that every test has, on both brokers. The
// others are in the tests of everypeer_test.go.
func detailed() []*library { return []*library{pika, amqplib} }

func debian(packages string) string { return "sh scripts/deps.sh --install " + packages }

// candidates are the interpreters that may have a library: Debian's libraries
// belong to Debian's interpreter, and another one may come first in PATH.
func candidates(name string) []string { return []string{name, "/usr/bin/" + name} }

// interpreted finds the first interpreter that can print a library's version.
func interpreted(folder, extension string, interpreters []string, printVersion ...string) func() (installed, error) {
	return sync.OnceValues(func() (installed, error) {
		var failures []error
		for _, interpreter := range interpreters {
			out, err := outputOf(interpreter, printVersion...)
			if err != nil {
				failures = append(failures, err)
				continue
			}
			return installed{out, func(program string) []string {
				return []string{interpreter, filepath.Join(folder, program+extension)}
			}}, nil
		}
		return installed{}, errors.Join(failures...)
	})
}

// findGo finds the library that is part of the tests.
func findGo() (installed, error) {
	version, err := outputOf("go", "list", "-m", "-f", "{{.Version}}", "github.com/rabbitmq/amqp091-go")
	return installed{version: strings.TrimPrefix(version, "v")}, err
}

// findTools gives them the version of the library that they are released with.
func findTools() (installed, error) {
	for _, tool := range []string{"amqp-declare-queue", "amqp-publish", "amqp-consume", "amqp-delete-queue"} {
		if _, err := exec.LookPath(tool); err != nil {
			return installed{}, err
		}
	}
	c, err := librabbitmq.find()
	return installed{c.version, func(program string) []string {
		return []string{"sh", filepath.Join("peers/amqp-tools", program+".sh")}
	}}, err
}

func compileC() (installed, error) {
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "gcc"
	}
	binary := func(program string) string { return filepath.Join(toolFolder, "librabbitmq-"+program) }
	for _, program := range []string{"client", "server"} {
		_, err := outputOf(compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-o", binary(program),
			"peers/librabbitmq/"+program+".c", "peers/librabbitmq/recipe.c", "-lrabbitmq")
		if err != nil {
			return installed{}, err
		}
	}
	version, err := outputOf(binary("client"), "--version")
	return installed{version, func(program string) []string {
		return []string{binary(program)}
	}}, err
}

// compileErlang uses the library that RabbitMQ ships, without a broker.
func compileErlang() (installed, error) {
	found, err := findPlugin("amqp_client")
	if err != nil {
		return installed{}, err
	}
	beams, libraries := filepath.Join(toolFolder, "amqp_client"), "ERL_LIBS="+filepath.Dir(found)
	if err := os.Mkdir(beams, 0o700); err != nil {
		return installed{}, err
	}
	sources, err := filepath.Glob("peers/amqp_client/*.erl")
	if err != nil {
		return installed{}, err
	}
	if _, err := outputOf("env", append([]string{libraries, "erlc", "-Werror", "-o", beams}, sources...)...); err != nil {
		return installed{}, err
	}
	// Erlang logs to standard output unless told otherwise.
	const quiet = "[{handler,default,logger_std_h,#{config=>#{type=>standard_error}}}]"
	return installed{strings.TrimPrefix(filepath.Base(found), "amqp_client-"), func(program string) []string {
		return []string{
			"env", libraries, "ERL_CRASH_DUMP_SECONDS=0",
			"erl", "-noinput", "-kernel", "logger", quiet, "-kernel", "logger_level", "error", "-pa", beams,
			"-eval", program + ":main(init:get_plain_arguments()), halt().", "-extra",
		}
	}}, nil
}

// findPlugin returns the folder of one of RabbitMQ's libraries.
func findPlugin(name string) (string, error) {
	for _, place := range []string{
		"/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins", // Debian's
		"/opt/rabbitmq/plugins",                           // the Docker image's
	} {
		found, err := filepath.Glob(filepath.Join(place, name+"-[0-9]*", "ebin"))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return filepath.Dir(found[0]), nil
		}
	}
	return "", fmt.Errorf("no RabbitMQ is installed that has %s", name)
}

// outputOf runs a program to its end and returns what it printed, without the
// line's end; what it complained of is in the error.
func outputOf(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(exit.Stderr))
	}
	return string(bytes.TrimSpace(out)), err
}

// start runs one of the library's programs. If the library cannot be used, the
// test fails with the command that gets it.
func (l *library) start(t *testing.T, which string, args ...string) *program {
	t.Helper()
	found, err := l.find()
	if err != nil {
		t.Fatal(l.missing(err))
	}
	command := append(found.command(which), args...)
	return start(t, l.name+"'s "+which, command[0], command[1:]...)
}

func (l *library) missing(why error) error {
	return fmt.Errorf("%s for %s cannot be used; to get it, run as root in the repository's root: %s\n%w", l.name, l.language, l.install, why)
}
