import * as InvoiceStoreContract from "@invoice/testing/InvoiceStoreContract"
import * as OutboxContract from "@invoice/testing/OutboxContract"
import { Memory } from "../src/memory/index.ts"
import { remote } from "./RpcServer.ts"

InvoiceStoreContract.suite("the memory store over RPC", remote(Memory.layer))
OutboxContract.suite("the memory outbox over RPC", remote(Memory.layer))
