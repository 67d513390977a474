// GET /admin/order-groups of a Mercur application: the read model finds, sorts and counts; Mercur renders the page, so
// that session, rights and relations stay its own. Copy it to src/api/admin/order-groups/route.ts; docs/connecting.md.
import { AuthenticatedMedusaRequest, MedusaResponse } from "@medusajs/framework/http"
import { MedusaError } from "@medusajs/framework/utils"
import { getOrderGroupsListWorkflow } from "@mercurjs/core/workflows"

export const GET = async (req: AuthenticatedMedusaRequest, res: MedusaResponse) => {
  const query = new URLSearchParams(req.originalUrl.split("?")[1])
  query.set("fields", "id")
  const found = await fetch(`${process.env.ORDER_GROUPS_URL}/admin/order-groups?${query}`, {
    headers: { authorization: `Basic ${btoa(`${process.env.ORDER_GROUPS_API_KEY}:`)}` },
  })
  const list = (await found.json()) as { order_groups: { id: string }[]; message: string }
  if (!found.ok) {
    const type = found.status === 400 ? MedusaError.Types.INVALID_DATA : MedusaError.Types.UNEXPECTED_STATE
    throw new MedusaError(type, list.message)
  }
  const ids = list.order_groups.map(({ id }) => id)
  const input = { fields: req.queryConfig.fields ?? [], variables: { id: ids, skip: 0, take: ids.length } }
  const { result } = ids.length ? await getOrderGroupsListWorkflow(req.scope).run({ input }) : { result: { rows: [] } }
  const rows = new Map(result.rows.map((row: { id: string }) => [row.id, row]))
  res.json({ ...list, order_groups: ids.flatMap((id) => rows.get(id) ?? []) })
}
