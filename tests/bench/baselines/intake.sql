-- The other side of `intake`: one message into the same table as bare SQL, by pgbench.
\set shard random(0, 3)
INSERT INTO iot_inbox (shard, source, received_at, body) VALUES (:shard, 'pgbench', now(), convert_to('{"notifyType":"deviceDataChanged","requestId": null,"deviceId":"92d3f8da-0f11-4c3c-9d3e-7f1a2b3c4d5e","gatewayId":"92d3f8da-0f11-4c3c-9d3e-7f1a2b3c4d5e","service":{"serviceId":"ParkingSensor","serviceType":"ParkingSensor","data":{"occupied": 1,"battery": 87},"eventTime":"20261121T020000Z"}}', 'UTF8'));
