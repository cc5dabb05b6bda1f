package warren_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
)

func TestPrintedSettingsDoNotTellThePassword(t *testing.T) {
	t.Parallel()
	b := warren.Broker{URLs: []string{"amqp://shop:hunter2@rabbit:5672/", "amqp://shop:hunter2@%zz"}}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("settings", "broker", b)
	for _, text := range []string{
		fmt.Sprint(b), fmt.Sprintf("%+v", b), fmt.Sprintf("%#v", b), fmt.Sprintf("%+v", struct{ Broker warren.Broker }{b}), log.String(),
	} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("told: %s", text)
		}
	}
	if !strings.Contains(b.String(), "rabbit:5672") {
		t.Errorf("the host is missing: %s", b)
	}
}
