// Package clients calls the platform with gRPC's own Go client: our invoice.v1, and the reference's services.
package clients

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	invoicev1 "invoice.test/clients/gen/invoice/v1"
	apistorage "invoice.test/clients/gen/protocol/api_service/storage"
	"invoice.test/clients/gen/protocol/types"
	validationstorage "invoice.test/clients/gen/protocol/validation/storage"
)

// dial connects to host:port that an environment variable names.
func dial(t *testing.T, variable string) *grpc.ClientConn {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Fatalf("%s names no server", variable)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func contextFor(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func uuid() []byte {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func text(id []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func expect(t *testing.T, err error, code codes.Code) *status.Status {
	t.Helper()
	got := status.Convert(err)
	if got.Code() != code {
		t.Fatalf("code %s, not %s: %v", got.Code(), code, err)
	}
	return got
}

func invoice(id []byte) *invoicev1.Invoice {
	return &invoicev1.Invoice{
		Id: text(id), CustomerId: text(uuid()), Amount: "1050", Currency: "USD",
		DueDate: timestamppb.New(time.Date(2025, 6, 30, 0, 0, 0, 0, time.UTC)),
		Items: []*invoicev1.Item{
			{Description: "Website Design", Quantity: "1", UnitPrice: "1000", Total: "1000"},
			{Description: "Hosting (1 month)", Quantity: "1", UnitPrice: "50", Total: "50"},
		},
		Notes: "Payment due within 30 days.",
	}
}

func TestInvoiceService(t *testing.T) {
	ctx := contextFor(t)
	client := invoicev1.NewInvoiceServiceClient(dial(t, "INVOICE_API"))
	id := uuid()
	sent := invoice(id)

	created, err := client.Create(ctx, &invoicev1.CreateRequest{Invoice: sent})
	if err != nil || !created.Created || !proto.Equal(created.Invoice.Invoice, sent) {
		t.Fatalf("created %v, %v", created, err)
	}
	again, err := client.Create(ctx, &invoicev1.CreateRequest{Invoice: sent})
	if err != nil || again.Created {
		t.Fatalf("again %v, %v", again, err)
	}
	other := invoice(id)
	other.Notes = "something else"
	_, err = client.Create(ctx, &invoicev1.CreateRequest{Invoice: other})
	expect(t, err, codes.AlreadyExists)
	_, err = client.Get(ctx, &invoicev1.GetRequest{Id: text(uuid())})
	expect(t, err, codes.NotFound)

	wrong := invoice(uuid())
	wrong.Amount = "10.555"
	wrong.Items[1].UnitPrice = "1e9"
	_, err = client.Create(ctx, &invoicev1.CreateRequest{Invoice: wrong})
	fields := map[string]string{}
	for _, detail := range expect(t, err, codes.InvalidArgument).Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range request.FieldViolations {
				fields[violation.Field] = violation.Reason
			}
		}
	}
	if fields["invoice.amount"] != "INV_SCALE" || fields["invoice.items[1].unit_price"] != "INV_DECIMAL" {
		t.Fatalf("faults %v", fields)
	}

	verdict, err := client.Validate(ctx, &invoicev1.ValidateRequest{Invoice: func() *invoicev1.Invoice {
		off := invoice(uuid())
		off.Amount = "1050.01"
		return off
	}()})
	if err != nil || verdict.Status != invoicev1.InvoiceStatus_INVOICE_STATUS_REJECTED ||
		verdict.Violations[0].Code != "BR-CO-10" {
		t.Fatalf("verdict %v, %v", verdict, err)
	}
	list, err := client.List(ctx, &invoicev1.ListRequest{CustomerId: sent.CustomerId})
	if err != nil || len(list.Invoices) != 1 {
		t.Fatalf("list %v, %v", list, err)
	}
	history, err := client.History(ctx, &invoicev1.HistoryRequest{Id: text(id)})
	if err != nil || len(history.Entries) != 1 || history.Entries[0].From != nil {
		t.Fatalf("history %v, %v", history, err)
	}
}

func TestWatchAndDeadline(t *testing.T) {
	client := invoicev1.NewInvoiceServiceClient(dial(t, "INVOICE_API"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	watch, err := client.Watch(ctx, &invoicev1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.Cursor == "" || first.Change != nil {
		t.Fatalf("first %v, %v", first, err)
	}
	id := uuid()
	if _, err := client.Create(ctx, &invoicev1.CreateRequest{Invoice: invoice(id)}); err != nil {
		t.Fatal(err)
	}
	for {
		response, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if response.Change.GetId() == text(id) {
			break
		}
	}
	for {
		if _, err = watch.Recv(); err != nil {
			break
		}
	}
	expect(t, err, codes.DeadlineExceeded)
}

func TestImport(t *testing.T) {
	const count, bad = 1000, 500
	stream, err := invoicev1.NewInvoiceServiceClient(dial(t, "INVOICE_API")).Import(contextFor(t))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for line := 1; line <= count; line++ {
			next := invoice(uuid())
			if line == bad {
				next.Currency = "US$"
			}
			if stream.Send(&invoicev1.ImportRequest{Invoice: next}) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	for line := uint64(1); ; line++ {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if line != count+1 {
				t.Fatalf("%d lines", line-1)
			}
			return
		}
		if err != nil || response.Line != line {
			t.Fatalf("line %d: %v, %v", line, response, err)
		}
		if failure := response.GetFailure(); (failure != nil) != (line == bad) ||
			failure != nil && failure.Violations[0].Code != "INV-CURRENCY" {
			t.Fatalf("line %d: %v", line, response)
		}
	}
}

func upload(id []byte) *types.Invoice {
	return &types.Invoice{
		Id:         &types.UUID{Value: id},
		CustomerId: &types.UUID{Value: uuid()},
		Amount:     proto.Int64(1050000), Currency: proto.String("USD"),
		CreatedAt: timestamppb.New(time.Date(2025, 6, 1, 15, 4, 5, 123456789, time.UTC)),
		Items: []*types.Item{&types.Item{
			Description: proto.String("Website Design"), Quantity: proto.Int32(2),
			UnitPrice: proto.Int64(525000), Total: proto.Int64(1050000),
		}},
		Notes: proto.String("as the reference sends it"),
	}
}

func TestReferenceStorage(t *testing.T) {
	ctx := contextFor(t)
	conn := dial(t, "INVOICE_STORAGE")
	api := apistorage.NewInvoiceStorageClient(conn)
	validation := validationstorage.NewInvoiceStorageClient(conn)
	id := uuid()
	sent := upload(id)
	key := &types.UUID{Value: id}

	for range 2 {
		if _, err := api.Upload(ctx, &apistorage.UploadRequest{Invoice: sent}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := api.Get(ctx, &apistorage.GetRequest{Id: key})
	if err != nil || !proto.Equal(got.GetInvoice(), sent) || got.GetStatus() != types.InvoiceStatus_Pending {
		t.Fatalf("got %v, %v", got, err)
	}
	seen, err := validation.Get(ctx, &validationstorage.GetInvoiceRequest{Id: key})
	if err != nil || !proto.Equal(seen.GetInvoice(), sent) {
		t.Fatalf("seen %v, %v", seen, err)
	}
	for range 2 {
		if _, err := validation.SetApproved(ctx, &validationstorage.SetApprovedRequest{Id: key}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = validation.SetRejected(ctx, &validationstorage.SetRejectedRequest{Id: key})
	expect(t, err, codes.FailedPrecondition)
	got, err = api.Get(ctx, &apistorage.GetRequest{Id: key})
	if err != nil || got.GetStatus() != types.InvoiceStatus_Approved {
		t.Fatalf("got %v, %v", got, err)
	}
	sent.Amount = proto.Int64(1050010)
	_, err = api.Upload(ctx, &apistorage.UploadRequest{Invoice: sent})
	expect(t, err, codes.AlreadyExists)
	_, err = api.Get(ctx, &apistorage.GetRequest{Id: &types.UUID{Value: uuid()}})
	expect(t, err, codes.NotFound)
	wrong := upload(uuid())
	wrong.Amount = proto.Int64(10555)
	_, err = api.Upload(ctx, &apistorage.UploadRequest{Invoice: wrong})
	expect(t, err, codes.InvalidArgument)
}

func TestAmountsThatThousandthsCannotHold(t *testing.T) {
	ctx := contextFor(t)
	conn := dial(t, "INVOICE_STORAGE")
	invoices := invoicev1.NewInvoiceServiceClient(conn)
	id := uuid()
	sent := invoice(id)
	sent.Amount = "9223372036854775.81"
	sent.Items[0].UnitPrice = "0.000000001"
	if _, err := invoices.Create(ctx, &invoicev1.CreateRequest{Invoice: sent}); err != nil {
		t.Fatal(err)
	}
	_, err := apistorage.NewInvoiceStorageClient(conn).Get(ctx,
		&apistorage.GetRequest{Id: &types.UUID{Value: id}})
	expect(t, err, codes.FailedPrecondition)
	got, err := invoices.Get(ctx, &invoicev1.GetRequest{Id: text(id)})
	if err != nil || !proto.Equal(got.Invoice.Invoice, sent) {
		t.Fatalf("altered: %v, %v", got, err)
	}
}

func TestHealth(t *testing.T) {
	ctx := contextFor(t)
	for _, variable := range []string{"INVOICE_API", "INVOICE_STORAGE"} {
		client := grpc_health_v1.NewHealthClient(dial(t, variable))
		for _, service := range []string{"", "invoice.v1.InvoiceService"} {
			answer, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
			if err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
				t.Fatalf("%s %q: %v, %v", variable, service, answer, err)
			}
		}
		_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
		expect(t, err, codes.NotFound)
	}
}
