require "active_record"
require "json"
kind, target, step = ARGV
ActiveRecord::Base.establish_connection(kind == "sqlite" ? { adapter: "sqlite3", database: target } : JSON.parse(target).merge(adapter: "postgresql"))

class Shelf < ActiveRecord::Base
  has_many :books
end

class Book < ActiveRecord::Base
  belongs_to :shelf, optional: true
  enum state: { idle: 0, busy: 1 }
end

if step == "make"
  ActiveRecord::Migration.verbose = false
  ActiveRecord::Schema.define(version: 2026_01_02_000000) do
    create_table(:shelves) { |t| t.string :label, limit: 20, null: false, index: { unique: true } }
    create_table :books do |t|
      t.string :title, limit: 80, null: false
      t.decimal :price, precision: 8, scale: 2, null: false
      t.datetime :printed, precision: 6, null: false
      t.date :day
      t.time :at
      t.json :meta
      t.boolean :good, null: false, default: true
      t.binary :cover
      t.integer :state, null: false, default: 0
      t.integer :lock_version, null: false, default: 0
      t.references :shelf, foreign_key: true
      t.timestamps precision: 6
      t.index :printed, order: { printed: :desc }
    end
  end
  top = Shelf.create!(label: "top")
  4.times do |n|
    Book.create!(title: "Book #{n}", price: 1.5 + n, printed: Time.utc(2026, 1, 2, 3, 4, n + (n.odd? ? Rational(123_456, 1_000_000) : 0)),
                 day: Date.new(2026, 1, n + 1), at: Time.utc(2000, 1, 1, 1, 2, n), meta: { n: n, deep: [nil, 1.5] }, cover: [n, 255].pack("C*"),
                 shelf: n.zero? ? nil : top)
  end
else
  puts JSON.generate(Book.order(:id).includes(:shelf).map { |b|
    [b.id, b.title, format("%.2f", b.price), b.printed.iso8601(6), b.day.iso8601, b.at.strftime("%H:%M:%S"), b.meta, b.good,
     b.cover&.unpack1("H*"), b.state, b.shelf&.label, (b.updated_at - b.created_at).abs < 600]
  })
end
