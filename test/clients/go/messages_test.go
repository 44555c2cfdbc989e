package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc/metadata"

	invoicev1 "invoice.test/clients/gen/invoice/v1"
)

// newInvoice is all that the reference's validation-service knows of a value on new_invoice.
type newInvoice struct {
	ID string `json:"id"`
}

type verdict struct {
	ID         string      `json:"id"`
	Status     string      `json:"status"`
	Version    int         `json:"version"`
	Violations []violation `json:"violations"`
}

type violation struct {
	Code     string `json:"code"`
	Severity string `json:"severity"`
	Path     string `json:"path"`
	Message  string `json:"message"`
	Expected string `json:"expected"`
	Actual   string `json:"actual"`
}

// decodeStrictly fails at a field that the type doesn't have, as the reference's consumer does.
func decodeStrictly(t *testing.T, record *kgo.Record, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(record.Value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v: %s", record.Topic, err, record.Value)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Fatalf("%s: more than one value: %s", record.Topic, record.Value)
	}
}

func headersOf(record *kgo.Record) map[string]string {
	headers := map[string]string{}
	for _, header := range record.Headers {
		headers[header.Key] = string(header.Value)
	}
	return headers
}

// recordsOf reads the topics from their beginning until each of some keys has as many records as it needs; brings the first
// of each key and topic, since delivery is at least once. Other records are other tests' and of any form.
func recordsOf(t *testing.T, ctx context.Context, needed map[string]int, topics ...string) map[string]map[string]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	found := map[string]map[string]*kgo.Record{}
	missing := 0
	for key, count := range needed {
		found[key] = map[string]*kgo.Record{}
		missing += count
	}
	for missing > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%d records are missing: %v", missing, err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if ours, ok := found[string(record.Key)]; ok && ours[record.Topic] == nil {
				ours[record.Topic] = record
				missing--
			}
		})
	}
	return found
}

func TestMessages(t *testing.T) {
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := metadata.AppendToOutgoingContext(contextFor(t), "traceparent", traceparent)
	invoices := invoicev1.NewInvoiceServiceClient(dial(t, "INVOICE_PIPELINE"))
	good, bad := invoice(uuid()), invoice(uuid())
	bad.Amount = "1050.01"
	for _, sent := range []*invoicev1.Invoice{good, bad} {
		if _, err := invoices.Create(ctx, &invoicev1.CreateRequest{Invoice: sent}); err != nil {
			t.Fatal(err)
		}
	}
	topicOf := map[string]string{good.Id: "invoice_approved", bad.Id: "invoice_rejected"}
	records := recordsOf(t, ctx, map[string]int{good.Id: 2, bad.Id: 2}, "new_invoice", "invoice_approved", "invoice_rejected")

	for id, verdictTopic := range topicOf {
		created, decided := records[id]["new_invoice"], records[id][verdictTopic]
		if created == nil || decided == nil {
			t.Fatalf("%s has records on other topics: %v", id, records[id])
		}
		var value newInvoice
		decodeStrictly(t, created, &value)
		if value.ID != id || string(created.Value) != fmt.Sprintf(`{"id":"%s"}`, id) {
			t.Fatalf("value %s", created.Value)
		}
		expectHeaders(t, created, map[string]string{
			"ce_type": "invoice.created", "ce_version": "1", "ce_status": "Pending", "traceparent": traceparent,
		})
		status := map[string]string{"invoice_approved": "Approved", "invoice_rejected": "Rejected"}[verdictTopic]
		var got verdict
		decodeStrictly(t, decided, &got)
		if got.ID != id || got.Status != status || got.Version != 2 {
			t.Fatalf("verdict %s", decided.Value)
		}
		if rejected := status == "Rejected"; rejected != (len(got.Violations) > 0) ||
			rejected && got.Violations[0].Code != "BR-CO-10" || rejected != bytes.Contains(decided.Value, []byte("violations")) {
			t.Fatalf("violations %s", decided.Value)
		}
		expectHeaders(t, decided, map[string]string{
			"ce_type": "invoice." + strings.ToLower(status), "ce_version": "2", "ce_status": status, "traceparent": traceparent,
		})
	}
}

// expectHeaders compares those given and what all of our messages have.
func expectHeaders(t *testing.T, record *kgo.Record, expected map[string]string) {
	t.Helper()
	got := headersOf(record)
	expected["ce_specversion"] = "1.0"
	expected["ce_source"] = "/invoice"
	expected["ce_subject"] = string(record.Key)
	expected["content-type"] = "application/json"
	for name, value := range expected {
		if got[name] != value {
			t.Errorf("%s: header %s is %q, not %q", record.Topic, name, got[name], value)
		}
	}
	for _, name := range []string{"ce_id", "ce_time"} {
		if got[name] == "" {
			t.Errorf("%s: no header %s", record.Topic, name)
		}
	}
	if len(got) != len(expected)+2 {
		t.Errorf("%s: headers %v", record.Topic, got)
	}
}
