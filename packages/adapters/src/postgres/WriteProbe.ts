/**
 * The write by which the store proves that it takes writes.
 *
 * A made-up invoice is written like a real one (row, line, history, verdict, event), so that everything that refuses
 * all invoices refuses it too: a full tablespace, a lost privilege, a lock, a trigger, a missing partition of the
 * outbox. A savepoint undoes these writes, and only the probe's own row is committed.
 */
export const probe = `
do $$
declare
  made_up uuid := gen_random_uuid();
begin
  begin
    insert into invoice (id, customer_id, currency, amount, notes) values (made_up, made_up, 'EUR', 0, '');
    insert into invoice_line (invoice_id, line_no, description, quantity, unit_price, total)
      values (made_up, 1, '', 0, 0, 0);
    insert into invoice_history (invoice_id, version, from_status, to_status, by)
      values (made_up, 1, null, 'Pending', 'probe');
    update invoice set status = 'Approved', version = 2 where id = made_up;
    insert into outbox_event (lane, topic, key, ver, type, payload, headers)
      select 0, 'probe', made_up::text, 1, 'probe', '', '{}' from outbox_state;
    raise exception 'undone' using errcode = 'IVPRB';
  exception when sqlstate 'IVPRB' then
    null;
  end;
  insert into write_probe (at) values (clock_timestamp()) on conflict (one) do update set at = excluded.at;
end $$`
