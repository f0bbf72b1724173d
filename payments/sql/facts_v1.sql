-- What has to be known of a payer at the moment of paying, as JSON: the limits of the level reached,
-- what of them is used today, the active rules of risk which this amount reaches, and what those ask
-- for: the payer's other payments of the last hour and of the last day (of the last 500, at most),
-- and of the last 20 payments those in a known county and those in this organisation's. A payment
-- that waits for the payer's word counts only when the payer has shown a code for it: others open as
-- many as they like. A function, so that a session plans it once.
CREATE FUNCTION payer_facts_v1(
    p_payer uuid, p_level smallint, p_organisation uuid,
    p_today date, p_hour uuid, p_day uuid, p_this uuid, p_amount bigint
) RETURNS json LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (
    SELECT json_build_object(
        'limits', (
            SELECT json_agg(json_build_array(
                l.means, l.device, l.level, l.grade, l.single_fen, l.daily_fen))
            FROM payments_paymentlimit l WHERE l.level <= p_level),
        'spent', (
            SELECT json_object_agg(p.grade, p.used_fen) FROM payments_spending p
            WHERE p.resident_id = p_payer AND p.on_date = p_today),
        'rules', (
            SELECT json_agg(json_build_array(u.name, u.kind, u.threshold, u.from_fen, u.outcome)
                ORDER BY u.name)
            FROM payments_riskrule u WHERE u.is_active AND u.from_fen <= p_amount),
        'recent', (
            SELECT json_build_array(
                count(*) FILTER (WHERE x.id >= p_hour),
                COALESCE(sum(x.amount_fen) FILTER (WHERE x.id >= p_hour), 0),
                count(*), COALESCE(sum(x.amount_fen), 0))
            FROM (
                SELECT o.id, o.amount_fen FROM payments_order o
                WHERE o.payer_id = p_payer AND o.id >= p_day AND o.id IS DISTINCT FROM p_this
                    AND o.state NOT IN ('failed', 'cancelled', 'expired', 'reversed')
                    AND (o.state <> 'confirming' OR o.way IN ('code', 'digits'))
                    AND EXISTS (
                        SELECT FROM payments_riskrule
                        WHERE is_active AND from_fen <= p_amount AND kind = ANY (
                            ARRAY['hour_count', 'hour_fen', 'day_count', 'day_fen']))
                ORDER BY o.id DESC LIMIT 500
            ) x),
        'places', (
            SELECT json_build_array(count(*) FILTER (WHERE x.county = here.county), count(x.county))
            FROM (
                SELECT CASE 'county' WHEN g.kind THEN g.id WHEN q.kind THEN q.id END AS county
                FROM identity_organisation g LEFT JOIN identity_organisation q ON q.id = g.parent_id
                WHERE g.id = p_organisation
            ) here, LATERAL (
                SELECT CASE 'county' WHEN g.kind THEN g.id WHEN q.kind THEN q.id END AS county
                FROM payments_order o JOIN payments_merchant n ON n.id = o.merchant_id
                    JOIN identity_organisation g ON g.id = n.organisation_id
                    LEFT JOIN identity_organisation q ON q.id = g.parent_id
                WHERE here.county IS NOT NULL AND o.payer_id = p_payer AND o.captured_fen > 0
                    AND EXISTS (
                        SELECT FROM payments_riskrule
                        WHERE is_active AND from_fen <= p_amount AND kind = 'other_county')
                ORDER BY o.id DESC LIMIT 20
            ) x)
    )
    );
END $$;
