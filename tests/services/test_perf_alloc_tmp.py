import time
from datetime import date
from portal.db import transaction, current_organisation_id
from portal.ids import new_id
from portal.services.allocations import apply_credits, reverse_allocations
from portal.services.settlements import record_payout, match_settlements
from portal.services.rulesets import load_rule_set
from portal.gateways.base import *
from portal.queries.settlements import list_settlements_to_work
from portal.queries.deposits import list_payers_to_match
from portal.sql import execute, stage_rows, fetch
from tests import factories
D=date(2026,3,18)
def test_perf(organisation):
    with transaction(organisation):
        payers=[new_id() for _ in range(500)]
        execute("INSERT INTO payers (organisation_id,id,external_ref,name,name_sort,kind) SELECT %s, id, id::text, 'x','x','company' FROM unnest(%s::uuid[]) id",(organisation,payers))
        rows=[]
        n=0
        for p in payers:
            for k in range(8):
                n+=1
                rows.append((new_id(),p,'invoice' if k<5 else 'credit_note',n,1000+n%7*100))
        stage_rows("si",{"id":"uuid","payer_id":"uuid","kind":"text","number":"bigint","net":"bigint"},rows)
        execute("INSERT INTO invoices (organisation_id,id,currency,kind,state,payer_id,year,number,issued_on,due_on,net_minor,total_minor) SELECT %s,id,'EUR',kind,'issued',payer_id,2026,number,%s,%s,net,net FROM si",(organisation,D,D))
        for i in range(1):
            execute("INSERT INTO deposits (organisation_id,id,payer_id,currency,purpose,state,amount_minor,received_on) SELECT %s, d, p,'EUR','s','held',1500,%s FROM unnest(%s::uuid[],%s::uuid[]) AS x(d,p)",(organisation,D,[new_id() for _ in payers],payers))
            execute("INSERT INTO payer_credits (organisation_id,id,payer_id,currency,amount_minor,since_on) SELECT %s, d, p,'EUR',300,%s FROM unnest(%s::uuid[],%s::uuid[]) AS x(d,p)",(organisation,D,[new_id() for _ in payers],payers))
    with transaction(organisation):
        t=time.perf_counter(); found=list_payers_to_match(); print("list", len(found), time.perf_counter()-t)
    t=time.perf_counter()
    with transaction(organisation):
        _,rs=load_rule_set(on=D)
        t=time.perf_counter()
        r=apply_credits(payer_ids=payers,business_on=D,rule_set=rs,actor=factories.CLERK,now=factories.NOW)
    dt=time.perf_counter()-t
    with transaction(organisation):
        n=fetch("SELECT count(*) FROM allocations")[0][0]
    print("apply",n,dt, n/dt,"alloc/s", len(payers)/dt)
    # payout
    N=50000
    acc=factories.gateway_account_of()
    ids=[(new_id(),new_id()) for _ in range(N)]
    with transaction(organisation):
        execute("INSERT INTO payments (organisation_id,id,payer_id,currency,amount_minor,method,state,started_on) SELECT %s,p,%s,'EUR',1000,'mandate','succeeded',%s FROM unnest(%s::uuid[]) p",(organisation,payers[0],D,[p for p,_ in ids]))
        execute("INSERT INTO payment_attempts (organisation_id,id,payment_id,number,currency,amount_minor,state,gateway_account_id,merchant_ref,idempotency_key,gateway_ref,business_on) SELECT %s,a,p,1,'EUR',1000,'succeeded',%s,a::text,a::text,'g'||a::text,%s FROM unnest(%s::uuid[],%s::uuid[]) x(p,a)",(organisation,acc.id,D,[p for p,_ in ids],[a for _,a in ids]))
    items=tuple(PayoutItemReport(ItemKind.PAYMENT,'g'+str(a),str(a),1000,10,990) for _,a in ids)
    rep=PayoutReport("PO",D,"EUR",1000*N,10*N,990*N,items)
    for _ in range(2):
        t=time.perf_counter()
        with transaction(organisation):
            record_payout(gateway_account_id=acc.id,report=rep,actor=factories.CLERK,now=factories.NOW)
        print("record",time.perf_counter()-t)
    t=time.perf_counter()
    with transaction(organisation):
        s=[x.settlement_id for x in list_settlements_to_work()]
        print(match_settlements(settlement_ids=s,actor=factories.CLERK,now=factories.NOW,business_on=D))
    print("match",time.perf_counter()-t)
